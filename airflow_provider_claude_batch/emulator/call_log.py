"""What is noted of every call."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import msgspec

SECONDS_PER_MINUTE = 60
_KEPT_CALLS = 10_000


class CallNote(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is noted of a call.

    :param status: HTTP status of the answer; ``None`` where the connection was broken off.
    :param fault: The fault that struck it.
    """

    operation: str
    method: str
    path: str
    status: int | None
    at: str | None
    request_id: str
    workspace: str | None
    fault: str | None


@dataclass(slots=True)
class CallLog:
    """The last calls, and the number of all of them by operation and status."""

    notes: deque[CallNote] = field(default_factory=lambda: deque(maxlen=_KEPT_CALLS))
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    minute: int = 0
    calls_in_minute: int = 0

    def add(self, note: CallNote) -> None:
        """Note a call."""
        self.notes.append(note)
        self.counts[note.operation, str(note.status or "no answer")] += 1

    def count_in_minute(self, now: float) -> int:
        """Count one more call in the minute of ``now``, and return how many there are in it."""
        minute = int(now // SECONDS_PER_MINUTE)
        if minute != self.minute:
            self.minute, self.calls_in_minute = minute, 0
        self.calls_in_minute += 1
        return self.calls_in_minute
