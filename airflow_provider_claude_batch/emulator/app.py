"""The application: its routes, what every answer carries, and what an unknown path gets."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_claude_batch.emulator import admin, batch_endpoints, message_endpoints
from airflow_provider_claude_batch.emulator.call import Handler, endpoint
from airflow_provider_claude_batch.emulator.call_log import SECONDS_PER_MINUTE, CallLog
from airflow_provider_claude_batch.emulator.errors import ApiError, error_body
from airflow_provider_claude_batch.emulator.settings import DEFAULT_WORKSPACE
from airflow_provider_claude_batch.emulator.wire import encode, new_id, timestamp

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from airflow_provider_claude_batch.emulator.batches import Batches

_ORGANIZATION_ID = "00000000-0000-4000-8000-000000000000"


class _CommonHeaders:
    """Gives every call a request id, and every answer the headers of the account."""

    def __init__(self, app: ASGIApp, batches: Batches, calls: CallLog) -> None:
        self.app = app
        self.batches = batches
        self.calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = scope["state"]["request_id"] = new_id("req")
        scope["state"]["workspace"] = DEFAULT_WORKSPACE

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["request-id"] = request_id
                headers.update(self._headers(scope))
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _headers(self, scope: Scope) -> dict[str, str]:
        now, limit = self.batches.clock.now(), self.batches.settings.calls_per_minute
        next_minute = (now // SECONDS_PER_MINUTE + 1) * SECONDS_PER_MINUTE
        return {
            "date": formatdate(now, usegmt=True),
            "anthropic-organization-id": _ORGANIZATION_ID,
            "anthropic-workspace-id": scope["state"]["workspace"],
            "anthropic-ratelimit-requests-limit": str(limit),
            "anthropic-ratelimit-requests-remaining": str(max(0, limit - self.calls.calls_in_minute)),
            "anthropic-ratelimit-requests-reset": timestamp(next_minute) or "",
        }


def make_app(batches: Batches) -> Starlette:
    """Return the application that serves ``batches``."""
    calls = CallLog()
    app = Starlette(
        routes=[*_api_routes(), *admin.ROUTES],
        middleware=[Middleware(_CommonHeaders, batches=batches, calls=calls)],
        exception_handlers={HTTPException: _http_error, ApiError: _api_error, 500: _internal_error},
    )
    app.state.batches = batches
    app.state.calls = calls
    return app


def _api_routes() -> list[Route]:
    batches, batch = "/v1/messages/batches", "/v1/messages/batches/{batch_id}"
    return [
        _route("POST", batches, "create", batch_endpoints.create),
        _route("GET", batches, "list", batch_endpoints.list_batches),
        _route("GET", batch, "retrieve", batch_endpoints.retrieve),
        _route("DELETE", batch, "delete", batch_endpoints.delete),
        _route("POST", f"{batch}/cancel", "cancel", batch_endpoints.cancel),
        _route("GET", f"{batch}/results", "results", batch_endpoints.results),
        _route("POST", "/v1/messages", "messages", message_endpoints.create_message),
        _route("POST", "/v1/messages/count_tokens", "count_tokens", message_endpoints.count_tokens),
        _route("GET", "/v1/models", "models", message_endpoints.list_models),
        _route("GET", "/v1/models/{model_id}", "models", message_endpoints.retrieve_model),
        _route("GET", "/v1/organizations/rate_limits", "rate_limits", message_endpoints.rate_limits),
    ]


def _route(method: str, path: str, operation: str, handler: Handler) -> Route:
    return Route(path, endpoint(operation, handler), methods=[method])


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer a path or method that there is not."""
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    if status == HTTPStatus.NOT_FOUND:
        return _error(request, ApiError(status, "Not found"))
    return _error(request, ApiError(status, "Method Not Allowed", error_type="invalid_request_error"))


async def _api_error(request: Request, error: Exception) -> Response:
    """Answer an admin's mistake."""
    return _error(request, error if isinstance(error, ApiError) else ApiError(400, str(error)))


async def _internal_error(request: Request, _error_raised: Exception) -> Response:
    """Answer what went wrong in the emulator itself."""
    return _error(request, ApiError(500, "Internal server error"))


def _error(request: Request, error: ApiError) -> Response:
    body = error_body(error.error_type, error.message, request.state.request_id)
    return Response(encode(body), error.status, error.headers, media_type="application/json")
