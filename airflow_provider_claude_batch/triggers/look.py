"""One look at many batches, in as few calls as that takes. Reads only."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import EXPIRES_AFTER, MAX_LIST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from anthropic import AsyncAnthropic
    from anthropic.types.messages import MessageBatch

#: Batches that are asked about by themselves at the same time.
_AT_A_TIME = 8

_is_looking: ContextVar[bool] = ContextVar("claude_batch_is_looking", default=False)


@dataclass(frozen=True, slots=True)
class SeenBatch:
    """
    What a wait needs to know of a batch.

    :param created_at: Epoch seconds; as is ``ended_at``.
    :param counts: ``request_counts``, as a text for the log.
    """

    batch_id: str
    processing_status: str
    created_at: float
    ended_at: float | None
    counts: str

    @property
    def has_ended(self) -> bool:
        """Nothing will change any more."""
        return self.processing_status == "ended"


async def look(client: AsyncAnthropic, wanted: Mapping[str, SeenBatch | None]) -> dict[str, SeenBatch]:
    """
    Return the batches that the API shows, by id; those that it says are not there are left out.

    One page of the list; then further pages, or a call for each batch that is still missing, whichever is
    less.

    :param client: Of the workspace that the batches belong to.
    :param wanted: Batches, each with what was seen of it before.
    :raises anthropic.APIError: The API cannot be asked.
    """
    if not wanted:
        return {}
    client = client.with_options(max_retries=0)
    with no_line_a_request():
        if len(wanted) == 1:
            return await _retrieve_each(client, list(wanted))
        found: dict[str, SeenBatch] = {}
        page = await client.messages.batches.list(limit=MAX_LIST_LIMIT)
        while True:
            found.update((batch.id, _seen(batch)) for batch in page.data if batch.id in wanted)
            missing = [batch_id for batch_id in wanted if batch_id not in found]
            if not missing:
                return found
            if not page.has_next_page() or len(missing) <= _pages_left(page.data, missing, wanted):
                return found | await _retrieve_each(client, missing)
            page = await page.get_next_page()


def _pages_left(
    page: list[MessageBatch], missing: list[str], wanted: Mapping[str, SeenBatch | None]
) -> float:
    """
    Estimate the pages down to the oldest batch that is missing, from the time that this page spans.

    Infinity where the page is older than it: it is not in the list.
    """
    newest, oldest = page[0].created_at.timestamp(), page[-1].created_at.timestamp()
    known = [_created_at(wanted[batch_id], newest) for batch_id in missing]
    if oldest < min(known):
        return math.inf
    return max(1.0, (oldest - min(known)) / max(newest - oldest, 1.0))


def _created_at(seen: SeenBatch | None, newest: float) -> float:
    """Return when a batch was created; of one that was never seen, the earliest that it may still run."""
    return newest - EXPIRES_AFTER.total_seconds() if seen is None else seen.created_at


async def _retrieve_each(client: AsyncAnthropic, batch_ids: list[str]) -> dict[str, SeenBatch]:
    found: dict[str, SeenBatch] = {}
    for start in range(0, len(batch_ids), _AT_A_TIME):
        some = batch_ids[start : start + _AT_A_TIME]
        for batch in await asyncio.gather(*(_retrieve(client, batch_id) for batch_id in some)):
            if batch is not None:
                found[batch.batch_id] = batch
    return found


async def _retrieve(client: AsyncAnthropic, batch_id: str) -> SeenBatch | None:
    from anthropic import NotFoundError

    try:
        return _seen(await client.messages.batches.retrieve(batch_id))
    except NotFoundError:
        return None


def _seen(batch: MessageBatch) -> SeenBatch:
    counts = batch.request_counts
    return SeenBatch(
        batch_id=batch.id,
        processing_status=batch.processing_status,
        created_at=batch.created_at.timestamp(),
        ended_at=None if batch.ended_at is None else batch.ended_at.timestamp(),
        counts=(
            f"{counts.processing} processing, {counts.succeeded} succeeded, {counts.errored} errored, "
            f"{counts.canceled} canceled, {counts.expired} expired"
        ),
    )


@contextmanager
def no_line_a_request() -> Iterator[None]:
    """Keep the HTTP client's line for every request out of the log while a look is made."""
    logging.getLogger("httpx2").addFilter(_is_wanted)
    token = _is_looking.set(True)
    try:
        yield
    finally:
        _is_looking.reset(token)


def _is_wanted(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not _is_looking.get()
