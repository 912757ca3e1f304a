"""One call of one operation: who makes it, which fault strikes it and when, and what is noted of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import responses
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

from airflow_provider_claude_batch.emulator.call_log import SECONDS_PER_MINUTE, CallLog, CallNote
from airflow_provider_claude_batch.emulator.connection import (
    NoResponse,
    close_connection,
    gzipped,
    reset_connection,
)
from airflow_provider_claude_batch.emulator.errors import (
    HTML_ERROR,
    SPEND_LIMIT_MESSAGE,
    ApiError,
    invalid_request,
)
from airflow_provider_claude_batch.emulator.settings import DEFAULT_WORKSPACE
from airflow_provider_claude_batch.emulator.wire import encode, timestamp

if TYPE_CHECKING:
    from airflow_provider_claude_batch.emulator.batches import Batches
    from airflow_provider_claude_batch.emulator.faults import Fault, Stage

API_VERSIONS = ("2023-06-01", "2026-10-21")
_MIN_COMPRESSED_BYTES = 256


class BrokenOffError(Exception):
    """The connection is gone; there is nobody to answer."""


@dataclass(slots=True)
class Call:
    """
    A call that is being answered.

    :param fault: The fault that waits for it.
    """

    request: Request
    batches: Batches
    operation: str
    fault: Fault | None
    workspace: str = DEFAULT_WORKSPACE
    api_version: str = API_VERSIONS[-1]
    betas: tuple[str, ...] = ()
    user_profile_id: str | None = None
    was_struck: bool = False

    def identify(self) -> None:
        """
        Read who calls and with which version.

        :raises ApiError: The key is missing or unknown, or the version is.
        """
        headers, keys = self.request.headers, self.batches.settings.api_keys
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            key = headers.get("x-api-key", "")
        if not key:
            raise ApiError(401, "x-api-key header is required")
        if keys and key not in keys:
            raise ApiError(401, "invalid x-api-key")
        version = headers.get("anthropic-version")
        if version is None:
            raise invalid_request("anthropic-version: header is required")
        if version not in API_VERSIONS:
            raise invalid_request(f'anthropic-version: "{version}" is not a valid version')
        self.workspace = headers.get("anthropic-workspace-id") or keys.get(key, DEFAULT_WORKSPACE)
        self.request.state.workspace = self.workspace
        self.api_version = version
        betas = (beta.strip() for value in headers.getlist("anthropic-beta") for beta in value.split(","))
        self.betas = tuple(beta for beta in betas if beta)
        self.user_profile_id = headers.get("anthropic-user-profile-id")

    async def reach(self, stage: Stage) -> None:
        """Come to ``stage``, where the fault strikes if it was ordered for after it."""
        fault = self.fault
        if fault is not None and fault.after == stage and fault.with_ in _STRIKES:
            self.strike()
            await _STRIKES[fault.with_](self, fault)

    def takes(self, kind: str) -> Fault | None:
        """Return the fault of this call if it is of ``kind``."""
        return self.fault if self.fault is not None and self.fault.with_ == kind else None

    def strike(self) -> None:
        """Note that the fault has struck."""
        self.was_struck = True


async def _answer_with_status(_call: Call, fault: Fault) -> None:
    headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    raise ApiError(
        fault.status or 500,
        fault.message or "The emulator was told to answer with this error.",
        error_type=fault.error_type,
        error_code=fault.error_code,
        headers=headers,
    )


async def _answer_with_spend_limit(call: Call, _fault: Fault) -> None:
    today = (timestamp(call.batches.clock.now()) or "")[:7]
    year, month = map(int, today.split("-"))
    next_month = f"{year + month // 12}-{month % 12 + 1:02}-01"
    raise ApiError(
        429, SPEND_LIMIT_MESSAGE.format(month=next_month), error_code="enforced_spend_limit_reached"
    )


async def _reset(call: Call, _fault: Fault) -> None:
    reset_connection(call.request)
    raise BrokenOffError


async def _close(call: Call, _fault: Fault) -> None:
    close_connection(call.request)
    raise BrokenOffError


async def _wait(_call: Call, fault: Fault) -> None:
    await asyncio.sleep(fault.seconds)


_STRIKES: dict[str, Callable[[Call, Fault], Awaitable[None]]] = {
    "status": _answer_with_status,
    "spend-limit": _answer_with_spend_limit,
    "reset-connection": _reset,
    "close-connection": _close,
    "slow-answer": _wait,
}

Handler = Callable[[Call], Awaitable[Response]]


def endpoint(operation: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Make ``handler`` an endpoint whose calls are identified, struck by faults, answered, and noted."""

    async def answer(request: Request) -> Response:
        batches: Batches = request.app.state.batches
        call = Call(request, batches, operation, batches.faults.take_for_call(operation))
        try:
            response = await _handled(call, handler)
        except (BrokenOffError, ClientDisconnect):
            response = NoResponse()
        except ApiError as error:
            response = error_response(error, call)
        if call.fault is not None and not call.was_struck:
            batches.faults.give_back(call.fault)
        _note(call, None if isinstance(response, NoResponse) else response.status_code)
        return response

    return answer


async def _handled(call: Call, handler: Handler) -> Response:
    await call.reach("headers")
    call.identify()
    _check_pace(call)
    if call.operation != "create":
        await call.reach("received")
    response = await handler(call)
    await call.reach("accepted")
    return response


def json_response(call: Call, value: object, status: int = 200) -> Response:
    """Return ``value`` as JSON, compressed if that is set and the client accepts it."""
    body = encode(value)
    headers = {}
    if accepts_gzip(call) and len(body) >= _MIN_COMPRESSED_BYTES:
        body = b"".join(gzipped(iter([body])))
        headers = {"content-encoding": "gzip"}
    return Response(body, status, headers, media_type="application/json")


def accepts_gzip(call: Call) -> bool:
    """Whether the answer is to be compressed."""
    return call.batches.settings.gzip_answers and "gzip" in call.request.headers.get("accept-encoding", "")


def error_response(error: ApiError, call: Call) -> Response:
    """Return ``error`` as the API does, or as the proxy in front of it."""
    is_too_large = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    form = call.batches.settings.too_large_form if is_too_large else "json"
    if call.fault is not None and call.was_struck:
        form = call.fault.form
    if form == "html":
        title = f"{error.status} {responses.get(error.status, 'Error')}"
        return HTMLResponse(HTML_ERROR.format(title=title), error.status, error.headers)
    response = json_response(call, error.body(call.request.state.request_id), error.status)
    response.headers.update(error.headers)
    return response


def _check_pace(call: Call) -> None:
    batches = call.batches
    calls: CallLog = call.request.app.state.calls
    count = calls.count_in_minute(batches.clock.now())
    if batches.settings.limit_calls and count > batches.settings.calls_per_minute:
        wait = SECONDS_PER_MINUTE - int(batches.clock.now() % SECONDS_PER_MINUTE)
        raise ApiError(
            429,
            "This request would exceed your organization's rate limit of "
            f"{batches.settings.calls_per_minute} requests per minute.",
            headers={"retry-after": str(wait)},
        )


def _note(call: Call, status: int | None) -> None:
    calls: CallLog = call.request.app.state.calls
    calls.add(
        CallNote(
            operation=call.operation,
            method=call.request.method,
            path=call.request.url.path,
            status=status,
            at=timestamp(call.batches.clock.now()),
            request_id=call.request.state.request_id,
            workspace=call.workspace,
            fault=call.fault.with_ if call.fault is not None and call.was_struck else None,
        )
    )
