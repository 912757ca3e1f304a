"""
The API's errors, with their exact bodies.

https://platform.claude.com/docs/en/api/errors, read 2026-11-22.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_claude_batch.emulator.wire import JsonObject

#: The ``error.type`` that goes with a status.
STATUS_TO_ERROR_TYPE: Mapping[int, str] = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        409: "conflict_error",
        413: "request_too_large",
        429: "rate_limit_error",
        500: "api_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)

SPEND_LIMIT_MESSAGE = (
    "You have reached your API usage limits: your organization has crossed its monthly API usage threshold, "
    "set based on your organization's API tier. You will regain access on {month} at 00:00 UTC."
)

TOO_LARGE_MESSAGE = "Request exceeds the maximum size"
#: A proxy's page for an error that the API itself never saw.
HTML_ERROR = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
    "<center><h1>{title}</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
)


class ApiError(Exception):
    """
    An answer of the API that is not a success.

    :param status: HTTP status.
    :param message: ``error.message``.
    :param error_type: ``error.type``; by default the one that goes with the status.
    :param error_code: ``error.details.error_code``, left out where ``None``.
    :param headers: Headers to send besides the usual ones, such as ``retry-after``.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error_type: str | None = None,
        error_code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_type = error_type or STATUS_TO_ERROR_TYPE.get(status, "api_error")
        self.error_code = error_code
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> JsonObject:
        """Return the JSON body of this error."""
        return error_body(self.error_type, self.message, request_id, error_code=self.error_code)


def error_body(
    error_type: str, message: str, request_id: str | None, *, error_code: str | None = None
) -> JsonObject:
    """Return the body that both a failed call and an errored line carry."""
    error: JsonObject = {"type": error_type, "message": message}
    if error_code is not None:
        error["details"] = {"error_code": error_code}
    return {"type": "error", "error": error, "request_id": request_id}


def invalid_request(message: str) -> ApiError:
    """Return a 400 with ``message``."""
    return ApiError(400, message)
