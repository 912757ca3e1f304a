"""
All batches of a workspace as they end, whoever made them, from its list. Reads only.

The clock that counts is the API's: what has ended is told from ``ended_at``, never from the time of a look.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from airflow_provider_claude_batch.core.limits import EXPIRES_AFTER, MAX_LIST_LIMIT
from airflow_provider_claude_batch.core.poll_decision import retry_seconds
from airflow_provider_claude_batch.hooks.async_client import close_quietly
from airflow_provider_claude_batch.hooks.refusals import retry_after
from airflow_provider_claude_batch.hooks.request_log import no_line_a_request
from airflow_provider_claude_batch.triggers.look import asking_once
from airflow_provider_claude_batch.triggers.poller import RealTime, trouble_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from anthropic import AsyncAnthropic
    from anthropic.types.messages import MessageBatch

    from airflow_provider_claude_batch.triggers.poller import Time

_log = logging.getLogger(__name__)

#: Where nothing of a workspace has ended yet, everything that ends is news.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

#: Batches may appear in the list as ended in another order than they have; so late at most.
_LAG = timedelta(hours=1)

#: From the report of a batch until Airflow has stored it; a position that is kept sooner could lose it.
_SECONDS_TO_HAND_OVER = 5.0


class Position(Protocol):
    """Where it is kept how far the reports have come, beyond the life of a process."""

    async def read(self) -> datetime | None:
        """Return the newest ``ended_at`` that was kept, or ``None``."""

    async def keep(self, ended_at: datetime) -> None:
        """Keep the newest ``ended_at``."""


class EndedBatches:
    """
    What is known of a workspace's batches that have ended.

    :param since: The newest ``ended_at`` that was reported; ``None`` for what the first look shows.
    """

    def __init__(self, since: datetime | None) -> None:
        self.newest = since
        self._since = since
        self._reported: dict[str, datetime] = {}
        self._oldest_running: datetime | None = None

    async def look(self, client: AsyncAnthropic) -> list[MessageBatch]:
        """
        Return the batches that have ended since the last look, in the order of their ends.

        One page of the list; further ones only where a batch that may have ended is not on it.

        :raises anthropic.APIError: The API cannot be asked.
        """
        listed = await self._list(client)
        ended = {batch.id: batch.ended_at for batch in listed if batch.ended_at is not None}
        since = self._since or max(ended.values(), default=_LONG_AGO)
        news = [b for b in listed if b.id not in self._reported and ended.get(b.id, since) > since]
        self.newest = max(since, self.newest or since, *ended.values())
        self._since = max(since, self.newest - _LAG)
        self._reported |= ended
        self._reported = {i: at for i, at in self._reported.items() if at > self._since}
        if listed:
            running = (batch.created_at for batch in listed if batch.ended_at is None)
            self._oldest_running = min(running, default=listed[0].created_at)
        return sorted(news, key=lambda batch: ended[batch.id])

    async def _list(self, client: AsyncAnthropic) -> list[MessageBatch]:
        with no_line_a_request():
            page = await asking_once(client).messages.batches.list(limit=MAX_LIST_LIMIT)
            listed = list(page.data)
            while page.data and page.has_next_page() and page.data[-1].created_at >= self._floor(listed[0]):
                page = await page.get_next_page()
                listed.extend(page.data)
        return listed

    def _floor(self, newest: MessageBatch) -> datetime:
        """Return the creation of the oldest batch that may have ended since the last look."""
        return self._oldest_running or (self._since or newest.created_at) - EXPIRES_AFTER


class EndWatch:
    """
    Looks again and again, and goes on whatever a look fails with.

    :param open_client: Makes an SDK client; called again after a failure, since the connection may be mended.
    :param position: Keeps how far the reports have come.
    :param poll_interval: Seconds between looks.
    :param clock: Injected by tests.
    """

    def __init__(
        self,
        open_client: Callable[[], Awaitable[AsyncAnthropic]],
        position: Position,
        *,
        poll_interval: float,
        clock: Time | None = None,
    ) -> None:
        self._open_client = open_client
        self._position = position
        self._poll_interval = poll_interval
        self._time = clock or RealTime()
        self._never = asyncio.Event()
        self._client: AsyncAnthropic | None = None
        self._batches: EndedBatches | None = None
        self._kept: datetime | None = None
        self._failures = 0

    async def batches(self) -> AsyncGenerator[MessageBatch, None]:
        """
        Yield each batch when it has ended. Has no end; close it.

        A position is kept a moment after its batches were taken: a process that dies in between reports them
        again, and none is lost.
        """
        try:
            while True:
                seconds = self._poll_interval
                # Whatever a look fails with, the watch goes on.
                (found,) = await asyncio.gather(self._look(), return_exceptions=True)
                if isinstance(found, BaseException):
                    await self._time.wait(self._never, await self._failed(found))
                    continue
                for batch in found:
                    yield batch
                pause = min(_SECONDS_TO_HAND_OVER, seconds) if found else 0.0
                await self._time.wait(self._never, pause)
                (failure,) = await asyncio.gather(self._keep(), return_exceptions=True)
                if failure is not None:
                    _log.warning(
                        "The newest end is not kept; tried again after the next look", exc_info=failure
                    )
                await self._time.wait(self._never, seconds - pause)
        finally:
            await self._close_client()

    async def _look(self) -> list[MessageBatch]:
        if self._batches is None:
            self._kept = await self._position.read()
            self._batches = EndedBatches(self._kept)
        if self._client is None:
            self._client = await self._open_client()
        found = await self._batches.look(self._client)
        if self._failures:
            _log.info("The API answers again: what has ended meanwhile is reported now.")
        self._failures = 0
        return found

    async def _keep(self) -> None:
        newest = None if self._batches is None else self._batches.newest
        if newest is not None and newest != self._kept:
            await self._position.keep(newest)
            self._kept = newest

    async def _failed(self, error: BaseException) -> float:
        """Log the first failure of several in a row, and return how long to rest."""
        self._failures += 1
        if self._failures == 1:
            _log.warning(
                "The batches cannot be listed (%s). Nothing is lost: what ends meanwhile is reported once "
                "they can.",
                trouble_of(error).what,
            )
        _log.debug("A look at the batches failed", exc_info=error)
        await self._close_client()
        return retry_seconds(self._failures, retry_after=retry_after(error))

    async def _close_client(self) -> None:
        client, self._client = self._client, None
        await close_quietly(client)
