"""The list of a workspace's batches, with what the API says of the account and of the time. Free."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import EXPIRES_AFTER, MAX_LIST_LIMIT
from airflow_provider_claude_batch.core.resume_decision import ListedBatch
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.hooks.answers import is_batch, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anthropic import Anthropic, APIResponse
    from anthropic.pagination import SyncPage
    from anthropic.types.messages import MessageBatch

#: Older batches have ended, whatever the list was asked for.
_OLDEST_THAT_MAY_RUN = EXPIRES_AFTER + timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """
    Whose key a call was made with, in the API's words; ``None`` where a gateway keeps them back.

    :param organization_id: Of the answer's header ``anthropic-organization-id``.
    :param workspace_id: Of the answer's header ``anthropic-workspace-id``.
    """

    organization_id: str | None
    workspace_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    One look at the list.

    :param batches: Newest first, back to the time that was asked for and to all that may still run.
    :param now: When it was made, by the API's clock.
    :param account: Whose key it was made with.
    """

    batches: tuple[ListedBatch, ...]
    now: datetime
    account: Account

    @property
    def cursor(self) -> str | None:
        """Id of the newest batch, or ``None`` where there is none."""
        return self.batches[0].batch_id if self.batches else None


def list_batches(client: Anthropic, *, back_to: datetime | None = None) -> Listing:
    """
    Look at the list: one call for each thousand batches.

    :param client: Of the workspace.
    :param back_to: Batches created before this are left out, unless they are younger than 25 hours.
    :raises anthropic.APIError: The API cannot be asked.
    :raises ClaudeBatchInputError: What answers is something else.
    """
    answer = client.messages.batches.with_raw_response.list(limit=MAX_LIST_LIMIT)
    now = _time_of(answer.headers)
    oldest = min(now - _OLDEST_THAT_MAY_RUN, back_to or now)
    page = _page(answer, client)
    found: list[MessageBatch] = list(page.data)
    while page.has_more and found and found[-1].created_at >= oldest:
        before = found[-1].id
        further = client.messages.batches.with_raw_response.list(limit=MAX_LIST_LIMIT, after_id=before)
        page = _page(further, client)
        found.extend(page.data)
        if found[-1].id == before:
            # A gateway that does not know after_id gives the first page for ever.
            break
    return Listing(
        batches=tuple(_listed(batch) for batch in found if batch.created_at >= oldest),
        now=now,
        account=Account(
            organization_id=answer.headers.get("anthropic-organization-id"),
            workspace_id=answer.headers.get("anthropic-workspace-id"),
        ),
    )


def _page(answer: APIResponse[SyncPage[MessageBatch]], client: Anthropic) -> SyncPage[MessageBatch]:
    from anthropic import APIResponseValidationError
    from anthropic.pagination import SyncPage

    try:
        page = parsed(answer, SyncPage, data=list)
    except APIResponseValidationError:
        page = None
    if page is None or not all(map(is_batch, page.data)):
        raise ClaudeBatchInputError(
            f"{client.base_url} answers, but not as the API does. Nothing was sent because of this look."
        )
    return page


def _listed(batch: MessageBatch) -> ListedBatch:
    counts = batch.request_counts
    return ListedBatch(
        batch_id=batch.id,
        created_at=batch.created_at,
        request_count=sum(
            (counts.processing, counts.succeeded, counts.errored, counts.canceled, counts.expired)
        ),
        has_ended=batch.processing_status == "ended",
    )


def _time_of(headers: Mapping[str, str]) -> datetime:
    """Return the time of an answer by the server's clock; without one, by ours."""
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)
