"""
One look for all waits: every trigger of a process that waits with the same connection shares one poller.

A tick is one page of the list, whatever the number of waits; a failing look is one failure for all of them.
Reads only: nothing here cancels, and no failure ends a wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from airflow_provider_claude_batch.core.poll_decision import LONGEST_SECONDS, look_seconds, retry_seconds
from airflow_provider_claude_batch.hooks.async_client import close_quietly
from airflow_provider_claude_batch.hooks.refusals import retry_after
from airflow_provider_claude_batch.triggers.look import Look, SeenBatch, look

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from anthropic import AsyncAnthropic

_log = logging.getLogger(__name__)

#: New waits are answered at once, but those that begin within so many seconds share a look.
_SECONDS_BETWEEN_LOOKS = 1.0

#: Part of an interval by which a look may come earlier, so that deployments do not look in step.
_JITTER = 0.1
_RANDOM = random.SystemRandom()


class Time(Protocol):
    """The clock that a poller lives by."""

    def now(self) -> float:
        """Return epoch seconds."""

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when the event is set, or after so many seconds."""


class RealTime:
    """The machine's own."""

    def now(self) -> float:
        """Return epoch seconds."""
        return time.time()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when the event is set, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    Why looks fail.

    :param what: Kind of the error, and its status where it has one; never a message.
    :param is_of_the_key: The key is refused, which a person can mend while the batches go on.
    """

    what: str
    is_of_the_key: bool


@dataclass(slots=True, eq=False)
class Wait:
    """
    One wait, as its poller knows it.

    :param seen: What was seen last of each batch, by id.
    :param absent: How many looks in a row have said of a batch that it is not there.
    :param trouble: Why the last look failed, if it did.
    :param has_looked: Whether there was a look since the wait began.
    """

    batch_ids: tuple[str, ...]
    poll_interval: float | None
    expected_seconds: float | None
    seen: dict[str, SeenBatch] = field(default_factory=dict)
    absent: dict[str, int] = field(default_factory=dict)
    trouble: Trouble | None = None
    has_looked: bool = False
    wake_at: float | None = None
    failure: BaseException | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _rethink: Callable[[], None] = field(default=lambda: None)

    async def news(self, wake_at: float | None) -> None:
        """
        Return when something has changed, or at a time.

        :param wake_at: Epoch seconds.
        """
        if wake_at != self.wake_at:
            self.wake_at = wake_at
            self._rethink()
        await self._news.wait()
        self._news.clear()
        if self.failure is not None:
            raise self.failure

    def tell(self) -> None:
        """Let :meth:`news` return."""
        self._news.set()

    def waiting(self) -> list[str]:
        """Return the batches that were not seen ended."""
        return [b for b in self.batch_ids if b not in self.seen or not self.seen[b].has_ended]

    def seconds_to_next_look(self, now: float) -> float:
        """Return how long this wait can do without a look."""
        created = [batch.created_at for batch in self.seen.values()]
        return look_seconds(
            now - max(created) if created else 0.0,
            expected_seconds=self.expected_seconds,
            poll_interval=self.poll_interval,
        )


class Poller:
    """
    Looks for all waits of one connection in one event loop.

    :param open_client: Makes an SDK client; called again after the key was refused, since it may be mended.
    :param clock: Injected by tests.
    """

    def __init__(
        self, open_client: Callable[[], Awaitable[AsyncAnthropic]], *, clock: Time | None = None
    ) -> None:
        self._open_client = open_client
        self._time = clock or RealTime()
        self._waits: set[Wait] = set()
        self._waits_of: dict[str, list[Wait]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._client: AsyncAnthropic | None = None
        self._looked_at = 0.0
        self._next_look_at = 0.0
        self._failures = 0
        self._trouble: Trouble | None = None

    @contextlib.asynccontextmanager
    async def waiting_for(
        self,
        batch_ids: Sequence[str],
        *,
        poll_interval: float | None = None,
        expected_seconds: float | None = None,
    ) -> AsyncIterator[Wait]:
        """
        Take part in the looks for as long as the context lasts; the first comes at once.

        :param poll_interval: Seconds between looks.
        :param expected_seconds: How long such batches took before.
        """
        wait = Wait(tuple(batch_ids), poll_interval, expected_seconds, _rethink=self._wake.set)
        self._join(wait)
        try:
            yield wait
        finally:
            await self._leave(wait)

    @property
    def is_idle(self) -> bool:
        """Nobody waits."""
        return not self._waits

    def _join(self, wait: Wait) -> None:
        self._waits.add(wait)
        for batch_id in wait.batch_ids:
            self._waits_of.setdefault(batch_id, []).append(wait)
        if self._trouble is not None:
            wait.trouble = self._trouble
            wait.tell()
        else:
            self._next_look_at = min(self._next_look_at, self._looked_at + _SECONDS_BETWEEN_LOOKS)
        self._wake.set()
        if self._task is None or self._task.done():
            # In a context of its own: what it logs belongs to no single task.
            self._task = asyncio.create_task(self._run(), context=contextvars.Context())
            self._task.add_done_callback(self._ended)

    async def _leave(self, wait: Wait) -> None:
        self._waits.discard(wait)
        for batch_id in wait.batch_ids:
            self._waits_of[batch_id].remove(wait)
            if not self._waits_of[batch_id]:
                del self._waits_of[batch_id]
        if self._waits or self._task is None:
            return
        # A wait that comes meanwhile begins with a task and a client of its own.
        task, self._task = self._task, None
        client, self._client = self._client, None
        task.cancel()
        try:
            await asyncio.wait([task])
        finally:
            await close_quietly(client)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Let no wait outlive its poller, should that fail."""
        if not task.cancelled() and (failure := task.exception()) is not None:
            for wait in self._waits:
                wait.failure = failure
                wait.tell()

    async def _run(self) -> None:
        while True:
            if self._time.now() >= self._next_look_at:
                await self._tick()
            now = self._time.now()
            for wait in self._waits:
                if wait.wake_at is not None and now >= wait.wake_at:
                    wait.wake_at = None
                    wait.tell()
            # Waits that were told decide now, and may leave or name another time.
            await asyncio.sleep(0)
            times = [wait.wake_at for wait in self._waits if wait.wake_at is not None]
            await self._time.wait(self._wake, max(min([self._next_look_at, *times]) - now, 0.0))
            self._wake.clear()

    async def _tick(self) -> None:
        wanted = {batch_id: self._last_seen(batch_id) for batch_id in self._waits_of}
        wanted = {b: seen for b, seen in wanted.items() if seen is None or not seen.has_ended}
        self._looked_at = self._time.now()
        # Whatever a look fails with, the waits go on.
        (shown,) = await asyncio.gather(self._look(wanted), return_exceptions=True)
        if isinstance(shown, BaseException):
            await self._failed(shown)
            return
        self._tell_what_changed(shown)
        if shown.failure is not None:
            await self._failed(shown.failure)
            return
        self._failures, self._trouble = 0, None
        now = self._time.now()
        intervals = [wait.seconds_to_next_look(now) for wait in self._waits]
        jitter = 1 - _JITTER * _RANDOM.random()
        self._next_look_at = now + max(min(intervals, default=0.0) * jitter, _SECONDS_BETWEEN_LOOKS)

    async def _look(self, wanted: dict[str, SeenBatch | None]) -> Look:
        if not wanted:
            return Look()
        if self._client is None:
            self._client = await self._open_client()
        return await look(self._client, wanted)

    def _last_seen(self, batch_id: str) -> SeenBatch | None:
        for wait in self._waits_of[batch_id]:
            if batch_id in wait.seen:
                return wait.seen[batch_id]
        return None

    def _tell_what_changed(self, shown: Look) -> None:
        troubles = {
            wait: trouble_of(error)
            for batch_id, error in shown.refused.items()
            for wait in self._waits_of.get(batch_id, ())
        }
        touched = {wait for wait in self._waits if not wait.has_looked or wait.trouble != troubles.get(wait)}
        for batch_id in shown.absent:
            for wait in self._waits_of.get(batch_id, ()):
                wait.absent[batch_id] = wait.absent.get(batch_id, 0) + 1
                touched.add(wait)
        for batch_id, batch in shown.found.items():
            for wait in self._waits_of.get(batch_id, ()):
                wait.absent.pop(batch_id, None)
                before = wait.seen.get(batch_id)
                wait.seen[batch_id] = batch
                if before is None or before.processing_status != batch.processing_status:
                    touched.add(wait)
        for wait in touched:
            wait.has_looked, wait.trouble = True, troubles.get(wait)
            wait.tell()

    async def _failed(self, error: BaseException) -> None:
        _log.debug("A look at the batches failed", exc_info=error)
        self._failures += 1
        trouble = self._trouble = trouble_of(error)
        if trouble.is_of_the_key:
            client, self._client = self._client, None
            await close_quietly(client)
        self._next_look_at = self._time.now() + self._rest_seconds(retry_after(error))
        for wait in self._waits:
            if wait.trouble != trouble:
                wait.trouble = trouble
                wait.tell()

    def _rest_seconds(self, asked: float | None) -> float:
        """
        Return how long to rest after looks that failed: first of all no longer than a ``poll_interval``.

        :param asked: What the API asked for.
        """
        chosen = [wait.poll_interval for wait in self._waits if wait.poll_interval is not None]
        first = max(min(chosen, default=LONGEST_SECONDS), _SECONDS_BETWEEN_LOOKS)
        backed_off = min(retry_seconds(self._failures), first * 2.0 ** min(self._failures - 1, 10))
        return max(backed_off, min(asked or 0.0, LONGEST_SECONDS))


def trouble_of(error: BaseException) -> Trouble:
    """Say why a look failed, without the words of the error."""
    from anthropic import APIConnectionError

    status = getattr(error, "status_code", None)
    what = type(error).__name__ if status is None else f"{type(error).__name__}, HTTP {status}"
    # What is neither an answer nor a lost connection is a connection of Airflow's that is not as it must be.
    is_of_the_key = status in (401, 403) if status else not isinstance(error, APIConnectionError)
    return Trouble(what, is_of_the_key=is_of_the_key)


_POLLERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


@contextlib.asynccontextmanager
async def waiting_for(
    claude_conn_id: str,
    batch_ids: Sequence[str],
    *,
    poll_interval: float | None = None,
    expected_seconds: float | None = None,
) -> AsyncIterator[Wait]:
    """
    Wait with the poller that this event loop has for a connection.

    :param claude_conn_id: Airflow connection.
    """
    pollers = _POLLERS.setdefault(asyncio.get_running_loop(), {})
    poller = pollers.setdefault(claude_conn_id, Poller(lambda: _open_client(claude_conn_id)))
    async with poller.waiting_for(
        batch_ids, poll_interval=poll_interval, expected_seconds=expected_seconds
    ) as wait:
        yield wait
    if poller.is_idle:
        pollers.pop(claude_conn_id, None)


async def _open_client(claude_conn_id: str) -> AsyncAnthropic:
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook

    return await ClaudeBatchHook(claude_conn_id).get_async_conn()
