"""
What the answer to a create means for the money: a definite no, each kind told apart, or nothing at all.

An API message is repeated only where it speaks of the account; the others may quote a request.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import (
    ClaudeBatchError,
    CreateRefusedError,
    SubmissionUncertainError,
)

if TYPE_CHECKING:
    from anthropic import APIError, APIStatusError

    from airflow_provider_claude_batch.hooks.batch_body import BatchBody

#: Statuses below 500 that do not say whether the batch was accepted.
_ANSWERS_NOTHING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT)

#: Statuses below 500 of a read that pass by themselves; the API says 404 of live batches now and then.
_READ_AGAIN = (*_ANSWERS_NOTHING, HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS)

#: Error codes that a 429 carries until a month or a contract ends. https://platform.claude.com/docs/en/api/errors,
#: read 2026-11-22.
_SPEND_LIMITS = ("enforced_spend_limit_reached", "contract_spend_limit_reached")

#: Beginning of the 400 for a limit that the organization set itself. The same page.
_OWN_SPEND_LIMIT = "You have reached your specified API usage limits"

_NEEDS: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "The request is not as the API wants it; sending it again changes nothing.",
    HTTPStatus.UNAUTHORIZED: "The connection's key is not valid: mend the connection, then retry.",
    HTTPStatus.PAYMENT_REQUIRED: "The organization's billing needs attention, then retry.",
    HTTPStatus.FORBIDDEN: "The connection's key may not do this: give it the permission, then retry.",
    HTTPStatus.NOT_FOUND: "This address serves no batches: look at the connection's host.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "The body is larger than the API or a proxy before it takes: set [claude_batch] max_bytes_per_batch "
        "lower, and clear the task."
    ),
    HTTPStatus.TOO_MANY_REQUESTS: "The task waits and sends it again.",
}
_SPENT = "A spend limit is reached: a retry sends it once the limit is raised or its period has ended."


def refused_or_uncertain(error: APIStatusError, body: BatchBody) -> ClaudeBatchError:
    """Return what a status other than 2xx means for a create."""
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _ANSWERS_NOTHING:
        return lost(error, body)
    message, code = _inner(error, "message"), _error_code(error)
    is_spent = code in _SPEND_LIMITS or message.startswith(_OWN_SPEND_LIMIT)
    words = f": {message}" if message and (is_spent or _speaks_of_the_account(status)) else ""
    facts = f"HTTP {status} {error.type or ''}".strip()
    needs = _SPENT if is_spent else _NEEDS.get(status, "A retry sends it again.")
    return CreateRefusedError(
        f"The API refused the batch: {facts}{words} (request-id {error.request_id}). It was not accepted and "
        f"nothing is billed for it. {needs}",
        status_code=status,
        error_type=error.type,
        request_id=error.request_id,
        is_temporary=status == HTTPStatus.TOO_MANY_REQUESTS and not is_spent,
        retry_after_seconds=retry_after(error),
    )


def lost(error: APIError, body: BatchBody) -> ClaudeBatchError:
    """Return what it means that no answer came."""
    kind = type(error).__name__
    if body.is_committed:
        return uncertain(kind)
    return CreateRefusedError(
        f"The connection failed before the body was whole ({kind}): nothing was accepted and nothing is "
        "billed for it. A retry sends it.",
        status_code=0,
        error_type=None,
        request_id=None,
        is_temporary=True,
    )


def uncertain(what: str) -> SubmissionUncertainError:
    """Return the error for a body that went out whole and was not answered."""
    return SubmissionUncertainError(
        f"The whole body went out and the answer is not known ({what}): the API may have accepted the batch. "
        "It is not sent again before it was looked for."
    )


def _speaks_of_the_account(status: int) -> bool:
    return status in (
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.PAYMENT_REQUIRED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.TOO_MANY_REQUESTS,
    )


def _inner(error: APIStatusError, name: str) -> str:
    """Return a text of the error body; a proxy's may be HTML, or lack any part."""
    inner = error.body.get("error") if isinstance(error.body, dict) else None
    value = inner.get(name) if isinstance(inner, dict) else None
    return value if isinstance(value, str) else ""


def _error_code(error: APIStatusError) -> str | None:
    inner = error.body.get("error") if isinstance(error.body, dict) else None
    details = inner.get("details") if isinstance(inner, dict) else None
    code = details.get("error_code") if isinstance(details, dict) else None
    return code if isinstance(code, str) else None


def is_temporary(error: Exception) -> bool:
    """Say so of a read's error that is no answer of the API, or one that passes by itself."""
    status = getattr(error, "status_code", None)
    if status is None or status < HTTPStatus.BAD_REQUEST:
        return True
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _READ_AGAIN


def retry_after(error: BaseException) -> float | None:
    """Return the seconds that an answer's header ``retry-after`` asks to wait, if there is one."""
    response = getattr(error, "response", None)
    if response is None:
        return None
    try:
        seconds = float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def error_to_line(error: APIError) -> str:
    """Return status, type, message and request id of an API error, as far as there are any."""
    from anthropic import APIStatusError

    if not isinstance(error, APIStatusError):
        reason = f" ({error.__cause__})" if error.__cause__ else ""
        return f"{type(error).__name__}: {error}{reason}"
    message = _inner(error, "message")
    facts = " ".join(str(fact) for fact in (f"HTTP {error.status_code}", error.type) if fact)
    return f"{facts}{f': {message}' if message else ''} (request-id {error.request_id})"
