"""
Which rows are worth another round, and as what: pure, from what the results say of them.

A round sends only rows whose outcome can improve; what was answered well, or never can be, stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What becomes of a row after a round: it stays, goes again as it was, or with more room for its answer.
NextStep = Literal["stays", "again", "larger"]

#: Errors of a request that is wrong in itself, or that the key is not allowed to make.
#: https://platform.claude.com/docs/en/api/errors, read 2026-11-22.
PERMANENT_ERRORS = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "billing_error",
    }
)

#: What the API says in an error's message when the account has no money left; its type is then
#: ``billing_error``, or ``invalid_request_error``.
#: https://github.com/bespokelabsai/curator/issues/296, read 2026-11-22.
_NO_CREDIT = "credit balance"

#: Outcomes that are not billed, so that asking again costs what asking once does.
_AGAIN = frozenset({"expired", "canceled", "missing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """
    What the last round says of a row, as far as another round depends on it.

    :param previous_outcome: Of the round before, which sent the row again; ``None`` in the first.
    """

    outcome: str
    error_type: str | None = None
    stop_reason: str | None = None
    previous_outcome: str | None = None


def next_step(row: RowResult) -> NextStep:
    """
    Say whether a row goes again.

    Expired, canceled and missing requests go as they were, as do those that the API could not answer in time
    (overloaded, rate limit, its own failures, and types that are not known here). An answer that was cut at
    ``max_tokens`` goes with more of them. One that does not fit the output schema goes once more, not twice.
    """
    if row.outcome in _AGAIN:
        return "again"
    if row.outcome == "errored":
        return "stays" if row.error_type in PERMANENT_ERRORS else "again"
    if row.outcome == "truncated":
        return "larger" if row.stop_reason == "max_tokens" else "stays"
    if row.outcome == "invalid_output" and row.previous_outcome != "invalid_output":
        return "again"
    return "stays"


def is_lack_of_credit(error_type: str | None, error_message: str | None) -> bool:
    """Return whether an errored request says that the account has no money left."""
    return error_type == "billing_error" or _NO_CREDIT in (error_message or "").lower()


def grown_max_tokens(max_tokens: int, *, factor: float, limit: int | None) -> int | None:
    """
    Return the larger ``max_tokens`` of a row whose answer was cut, or ``None`` where no more can be given.

    :param max_tokens: Of the request that was cut.
    :param factor: By which it grows.
    :param limit: Of the model, or ``None`` where it is not known.
    """
    grown = int(max_tokens * factor)
    if limit is not None:
        grown = min(grown, limit)
    return grown if grown > max_tokens else None
