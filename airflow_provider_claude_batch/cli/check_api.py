"""Whether the connection serves batches, and what the API says for free of its limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.checks import Check, fail, ok, warn
from airflow_provider_claude_batch.cli.text import count
from airflow_provider_claude_batch.core.resume_decision import queue_room
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.hooks.refusals import error_to_line
from airflow_provider_claude_batch.submission.deployment import send_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from anthropic import Anthropic

    from airflow_provider_claude_batch.hooks.listing import Listing

_LARGEST_SKEW = timedelta(seconds=60)
_FEW_CALLS = 0.05


def check_api(claude_conn_id: str, *, requests: int) -> Iterator[Check]:
    """
    Check the connection, then what can be asked with it.

    :param requests: Of a shard that the queue is to take.
    """
    hook = ClaudeBatchHook(claude_conn_id)
    try:
        client = hook.client
    except ClaudeBatchInputError as error:
        yield fail("connection", str(error).removesuffix(" Nothing was sent."))
        return
    with client:
        yield ok("connection", f"{claude_conn_id}: {client.base_url.host}, a platform that serves batches")
        try:
            yield from _check_account(client)
            yield from _check_queue(hook, requests=requests)
        except ClaudeBatchInputError as error:
            yield fail("api", str(error).removesuffix(" Nothing was sent."))


def _check_account(client: Anthropic) -> Iterator[Check]:
    from anthropic import APIError

    before = datetime.now(UTC)
    try:
        answer = client.models.with_raw_response.list(limit=1000)
        _require_json(answer.headers, client.base_url.host)
        models = answer.parse().data
    except APIError as error:
        yield warn(
            "models",
            f"the API does not list models ({error_to_line(error)}): a wrong model or parameter is not found "
            "before it is sent",
        )
        return
    in_batches = [model for model in models if not model.capabilities or model.capabilities.batch.supported]
    yield ok("models", f"{count(len(models), 'model')}, {len(in_batches)} of them in batches")
    yield _check_names(answer.headers)
    yield _check_calls(answer.headers)
    yield _check_clock(answer.headers, before=before, after=datetime.now(UTC))


def _require_json(headers: Mapping[str, str], host: str) -> None:
    """Refuse an answer that is no JSON: the SDK cannot read it, and does not say so."""
    kind = headers.get("content-type", "")
    if "json" not in kind:
        raise ClaudeBatchInputError(
            f"{host} answers {kind or 'without a content type'} where the API answers JSON: it is a login "
            "page or another server. Mend the connection's host, or the proxy in between"
        )


def _check_names(headers: Mapping[str, str]) -> Check:
    organization = headers.get("anthropic-organization-id")
    workspace = headers.get("anthropic-workspace-id")
    if workspace is None:
        return warn(
            "account",
            f"organization {organization or 'not named'}, and no workspace is named in the API's answers: a "
            "key of another workspace would not be noticed, and batches sent with it not be found",
        )
    return ok("account", f"organization {organization or 'not named'}, workspace {workspace}")


def _check_calls(headers: Mapping[str, str]) -> Check:
    try:
        limit = int(headers["anthropic-ratelimit-requests-limit"])
        left = int(headers["anthropic-ratelimit-requests-remaining"])
    except (KeyError, ValueError):
        return ok("calls", "the API's answers do not say how many calls are left")
    said = f"{left:,} of {limit:,} calls are left until {headers.get('anthropic-ratelimit-requests-reset')}"
    if left < limit * _FEW_CALLS:
        return warn("calls", f"{said}: something else uses them up, and looks at batches will be late")
    return ok("calls", said)


def _check_clock(headers: Mapping[str, str], *, before: datetime, after: datetime) -> Check:
    try:
        theirs = parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return warn("clock", "the API's answers have no date, so this host's clock cannot be compared")
    # The header has whole seconds, and the answer took some time.
    skew = max(theirs - after, before - theirs - timedelta(seconds=1), timedelta(0))
    if skew > _LARGEST_SKEW:
        return warn(
            "clock",
            f"this host and the API are {skew.total_seconds():,.0f} s apart: deadlines are off by as "
            "much: set the clock by NTP",
        )
    return ok("clock", "this host and the API agree within a minute")


def _check_queue(hook: ClaudeBatchHook, *, requests: int) -> Iterator[Check]:
    from anthropic import APIError

    try:
        listing = hook.list_batches()
    except APIError as error:
        yield fail(
            "batches",
            f"the API does not list batches ({error_to_line(error)}): nothing can be sent or found. "
            "Mend the connection's key and host; a gateway in between must let /v1/messages/batches through",
        )
        return
    running = sum(not batch.has_ended for batch in listing.batches)
    yield ok("batches", f"{count(len(listing.batches), 'batch')} in the last 25 hours, {running} running")
    yield _check_room(listing, requests=requests, limit=send_rules(hook).max_queued_requests)


def _check_room(listing: Listing, *, requests: int, limit: int) -> Check:
    room = queue_room(listing.batches, request_count=requests, max_queued_requests=limit)
    said = f"{room.queued:,} of at most {limit:,} requests are in the queue (max_queued_requests)"
    shard = f"a shard of {count(requests, 'request')}"
    if not room.has_room:
        return warn(
            "queue",
            f"{said}; {shard} waits until {room.queued + requests - limit:,} of them have ended",
        )
    if requests > limit:
        return warn("queue", f"{said}; {shard} is larger than that, and is sent only when nothing else waits")
    return ok("queue", f"{said}; {shard} fits, and leaves room for {limit - room.queued - requests:,}")
