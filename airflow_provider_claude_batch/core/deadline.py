"""An author's deadline to a moment. Pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import ClaudeBatchInputError

if TYPE_CHECKING:
    from datetime import tzinfo

_DAY = timedelta(days=1)

#: Share of the time to a deadline that what only saves money may take, and what it leaves of it in any case.
_PRIMING_SHARE = 0.25
_LEFT_FOR_THE_REST = timedelta(hours=1)


def to_deadline(given: object, *, now: datetime, timezone: tzinfo) -> datetime | None:
    """
    Return the moment that an author means.

    :param given: A ``timedelta`` from now on; a ``time`` or ``"06:30"``, the next such time in ``timezone``;
        a ``datetime`` or an ISO 8601 text, in ``timezone`` where it names none; ``None`` or an empty text for
        no deadline.
    :param now: With a zone.
    :param timezone: Of the Dag.
    :raises ClaudeBatchInputError: It is none of these, or has passed.
    """
    if given is None or given == "":
        return None
    if isinstance(given, timedelta):
        return _in_future(now + given, now)
    if isinstance(given, str):
        given = _parsed(given)
    if isinstance(given, datetime):
        return _in_future(given if given.tzinfo else given.replace(tzinfo=timezone), now)
    if isinstance(given, time):
        today = datetime.combine(now.astimezone(timezone).date(), given, given.tzinfo or timezone)
        return today if today > now else today + _DAY
    raise ClaudeBatchInputError(
        f"deadline is a {type(given).__name__}: give a time, a datetime, a timedelta or a text of the first "
        "two. Nothing was sent."
    )


def priming_seconds(*, begun_at: datetime, deadline: datetime, now: datetime) -> float:
    """
    Return how long the rest may still be held back for the request that writes the prompt cache.

    :param begun_at: When the submission began.
    :param deadline: When its answers are needed.
    :return: Of a quarter of the time between them, or of all but its last hour where that is less, the
        seconds that are left; 0 or less for none.
    """
    allowed = deadline - begun_at
    return (begun_at + min(allowed * _PRIMING_SHARE, allowed - _LEFT_FOR_THE_REST) - now).total_seconds()


def _parsed(text: str) -> datetime | time:
    for parse in (time.fromisoformat, datetime.fromisoformat):
        try:
            return parse(text)
        except ValueError:
            continue
    raise ClaudeBatchInputError(
        f"deadline={text!r} is neither a time such as 06:30 nor an ISO 8601 date and time. Nothing was sent."
    )


def _in_future(deadline: datetime, now: datetime) -> datetime:
    if deadline <= now:
        raise ClaudeBatchInputError(
            f"deadline {deadline.isoformat()} has passed before anything was sent. Nothing was sent."
        )
    return deadline
