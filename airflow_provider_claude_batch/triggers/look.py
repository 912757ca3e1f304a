"""
One look at many batches, in as few calls as that takes. Reads only.

Answers are decoded here: a page of a thousand batches would hold the triggerer's event loop up for a fifth of
a second as the SDK's models.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import msgspec

from airflow_provider_claude_batch.core.limits import EXPIRES_AFTER, MAX_LIST_LIMIT
from airflow_provider_claude_batch.hooks.request_log import no_line_a_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2
    from anthropic import AsyncAnthropic

#: Batches that are asked about by themselves at the same time.
_AT_A_TIME = 8

#: A look that hangs is for all waits of a connection, and the SDK's own ten minutes are long for a page.
_TIMEOUT_SECONDS = 60.0

#: Statuses below 500 that are about the connection, not about the batch that was asked for.
_ABOUT_THE_CONNECTION = (401, 403, 408, 429)


class _Counts(msgspec.Struct, gc=False):
    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int


class _Batch(msgspec.Struct, gc=False):
    """A batch as the API shows it, as far as a wait is about it."""

    id: str
    processing_status: str
    created_at: datetime
    request_counts: _Counts
    ended_at: datetime | None = None


class _Page(msgspec.Struct):
    """A page of the list, newest first."""

    data: list[_Batch]
    has_more: bool


_Shown = TypeVar("_Shown", bound=msgspec.Struct)


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


@dataclass(slots=True)
class Look:
    """
    What one look has shown. What is in none of the three was not asked for, since the look broke off.

    :param found: Batches by id.
    :param absent: Batches that the API says are not there.
    :param refused: Why it tells nothing of a batch, by id, though it does answer: no other wait is held up.
    :param failure: Why the look broke off, if it did.
    """

    found: dict[str, SeenBatch] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    refused: dict[str, BaseException] = field(default_factory=dict)
    failure: BaseException | None = None


async def look(client: AsyncAnthropic, wanted: Mapping[str, SeenBatch | None]) -> Look:
    """
    Look at all batches of a workspace that are waited for.

    One page of the list; then further pages, or a call for each batch that is still missing, whichever is
    less.

    :param client: Of the workspace that the batches belong to.
    :param wanted: Batches, each with what was seen of it before.
    :raises anthropic.APIError: The API cannot be asked.
    """
    from anthropic import APIError

    shown = Look()
    if not wanted:
        return shown
    client = asking_once(client)
    with no_line_a_request():
        if len(wanted) == 1:
            await _retrieve_each(client, list(wanted), shown, is_answering=False)
            return shown
        page, after_id = await _list(client), None
        while True:
            shown.found.update((batch.id, _seen(batch)) for batch in page.data if batch.id in wanted)
            missing = [batch_id for batch_id in wanted if batch_id not in shown.found]
            if not missing:
                return shown
            # A gateway that does not know after_id gives the first page for ever.
            is_last = not page.has_more or not page.data or page.data[-1].id == after_id
            if is_last or len(missing) <= _pages_left(page.data, missing, wanted):
                await _retrieve_each(client, missing, shown, is_answering=True)
                return shown
            after_id = page.data[-1].id
            try:
                page = await _list(client, after_id=after_id)
            except APIError as error:
                shown.failure = error
                return shown


def asking_once(client: AsyncAnthropic) -> AsyncAnthropic:
    """Return the client without retries of its own, and with a time limit that suits a look."""
    from anthropic import Timeout

    return client.with_options(max_retries=0, timeout=Timeout(_TIMEOUT_SECONDS, connect=5.0))


async def _list(client: AsyncAnthropic, *, after_id: str | None = None) -> _Page:
    """Return a page of the list: the first, or what follows a batch."""
    answer = await client.messages.batches.with_raw_response.list(
        limit=MAX_LIST_LIMIT, extra_query=None if after_id is None else {"after_id": after_id}
    )
    return _decoded(answer.http_response, _Page)


def _pages_left(page: list[_Batch], missing: list[str], wanted: Mapping[str, SeenBatch | None]) -> float:
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


async def _retrieve_each(
    client: AsyncAnthropic, batch_ids: list[str], shown: Look, *, is_answering: bool
) -> None:
    """
    Ask for each batch by itself, and add what is answered to a look.

    :param is_answering: The list was given a moment ago, so that a 500 is about a batch.
    """
    for start in range(0, len(batch_ids), _AT_A_TIME):
        some = batch_ids[start : start + _AT_A_TIME]
        answers = await asyncio.gather(*(_retrieve(client, b) for b in some), return_exceptions=True)
        for batch_id, answer in zip(some, answers, strict=True):
            if answer is None:
                shown.absent.append(batch_id)
            elif isinstance(answer, SeenBatch):
                shown.found[batch_id] = answer
            elif _is_about_the_batch(answer, is_answering=is_answering):
                shown.refused[batch_id] = answer
            else:
                shown.failure = answer
        if shown.failure is not None:
            return


def _is_about_the_batch(error: BaseException, *, is_answering: bool) -> bool:
    from anthropic import APIConnectionError

    status = getattr(error, "status_code", None)
    if status is None:
        return not isinstance(error, APIConnectionError)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return is_answering
    return status >= HTTPStatus.BAD_REQUEST and status not in _ABOUT_THE_CONNECTION


async def _retrieve(client: AsyncAnthropic, batch_id: str) -> SeenBatch | None:
    from anthropic import NotFoundError

    try:
        answer = await client.messages.batches.with_raw_response.retrieve(batch_id)
    except NotFoundError:
        return None
    return _seen(_decoded(answer.http_response, _Batch))


def _decoded(answer: httpx2.Response, kind: type[_Shown]) -> _Shown:
    from anthropic import APIResponseValidationError

    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # A gateway that answers 200 with something of its own.
        raise APIResponseValidationError(answer, body=None) from error


def _seen(batch: _Batch) -> SeenBatch:
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
