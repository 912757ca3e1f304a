"""One look at the batches of a wait, in as few calls as that takes. Reads only: nothing here cancels."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import MAX_LIST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anthropic import AsyncAnthropic
    from anthropic.types.messages import MessageBatch


_is_looking: ContextVar[bool] = ContextVar("claude_batch_is_looking", default=False)


async def look(client: AsyncAnthropic, batch_ids: Sequence[str]) -> dict[str, MessageBatch]:
    """
    Return the batches that the API shows, by id.

    One call for a single batch; for more, one page of the list, and one call for each that is not on it. A
    batch that the API says is not there is left out: live batches are now and then reported so
    (https://github.com/anthropics/anthropic-sdk-python/issues/1432, read 2026-11-22).

    :param client: Of the workspace that the batches belong to.
    :param batch_ids: Any number.
    :raises anthropic.APIError: The API cannot be asked.
    """
    found: dict[str, MessageBatch] = {}
    with _no_line_a_request():
        if len(batch_ids) > 1:
            page = await client.messages.batches.list(limit=MAX_LIST_LIMIT)
            found = {batch.id: batch for batch in page.data if batch.id in batch_ids}
        for batch_id in batch_ids:
            if batch_id not in found and (batch := await _retrieve(client, batch_id)) is not None:
                found[batch_id] = batch
    return found


async def _retrieve(client: AsyncAnthropic, batch_id: str) -> MessageBatch | None:
    from anthropic import NotFoundError

    try:
        return await client.messages.batches.retrieve(batch_id)
    except NotFoundError:
        return None


@contextmanager
def _no_line_a_request() -> Iterator[None]:
    """Keep the HTTP client's line for every request out of the task's log while a look is made."""
    logging.getLogger("httpx2").addFilter(_is_wanted)
    token = _is_looking.set(True)
    try:
        yield
    finally:
        _is_looking.reset(token)


def _is_wanted(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not _is_looking.get()
