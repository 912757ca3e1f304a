"""What the API says of batches at this moment. Free; nothing here changes anything."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import MAX_LIST_LIMIT
from airflow_provider_claude_batch.errors import ClaudeBatchRunError
from airflow_provider_claude_batch.hooks.refusals import error_to_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from anthropic import Anthropic
    from anthropic.types.messages import MessageBatch

_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveBatch:
    """
    A batch as the API shows it.

    :param archived_at: Since when its results can no longer be read.
    """

    batch_id: str
    processing_status: str
    request_counts: dict[str, int]
    created_at: datetime
    ended_at: datetime | None
    cancel_initiated_at: datetime | None
    archived_at: datetime | None


def look(client: Anthropic, batch_ids: Sequence[str]) -> dict[str, LiveBatch]:
    """
    Return the batches that the API shows, by id; one that it says is not there is left out.

    One call for a single batch; for more, one page of the list, and one call for each that is not on it.

    :param client: Of the workspace that the batches belong to.
    :raises anthropic.APIError: The API cannot be asked.
    """
    from anthropic import NotFoundError

    found: dict[str, MessageBatch] = {}
    if len(batch_ids) > 1:
        page = client.messages.batches.list(limit=MAX_LIST_LIMIT)
        found = {batch.id: batch for batch in page.data if batch.id in batch_ids}
    for batch_id in batch_ids:
        if batch_id not in found:
            try:
                found[batch_id] = client.messages.batches.retrieve(batch_id)
            except NotFoundError:
                continue
    return {batch_id: to_live(batch) for batch_id, batch in found.items()}


def to_live(batch: MessageBatch) -> LiveBatch:
    """Return what matters of a batch to a person."""
    return LiveBatch(
        batch_id=batch.id,
        processing_status=batch.processing_status,
        request_counts={
            name: number for name in _COUNTS if (number := int(getattr(batch.request_counts, name)))
        },
        created_at=batch.created_at,
        ended_at=batch.ended_at,
        cancel_initiated_at=batch.cancel_initiated_at,
        archived_at=batch.archived_at,
    )


@contextmanager
def api_errors_in_a_line(afterwards: str) -> Iterator[None]:
    """
    Turn whatever the API or the way to it refuses into one line.

    :param afterwards: What became of the money and of what was asked for.
    :raises ClaudeBatchRunError: Says it.
    """
    import httpx2
    from anthropic import APIError

    try:
        yield
    except APIError as error:
        raise ClaudeBatchRunError(f"The API cannot be asked: {error_to_line(error)}. {afterwards}") from None
    except httpx2.RequestError as error:
        raise ClaudeBatchRunError(
            f"The connection to the API broke ({type(error).__name__}). {afterwards}"
        ) from None
