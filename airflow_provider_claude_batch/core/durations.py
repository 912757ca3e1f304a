"""Durations as authors write them, such as ``"30d"``."""

from __future__ import annotations

import re
from datetime import timedelta

from airflow_provider_claude_batch.errors import ClaudeBatchInputError

_TEXT = re.compile(r"\s*(\d+)\s*([dhms])\s*")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def to_timedelta(given: str | timedelta | None, *, argument: str) -> timedelta | None:
    """
    Return a duration, or ``None`` where none is given.

    :param given: A ``timedelta``, or a whole number with its unit: ``d``, ``h``, ``m`` or ``s``.
    :param argument: Its name, for the message.
    :raises ClaudeBatchInputError: It is neither, or not positive.
    """
    if given is None or given == "":
        return None
    duration = given
    if isinstance(given, str) and (match := _TEXT.fullmatch(given)):
        duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if not isinstance(duration, timedelta) or duration <= timedelta(0):
        raise ClaudeBatchInputError(
            f"{argument} is {given!r}: give a timedelta, or a text such as '30d' or '12h'. Nothing was sent."
        )
    return duration
