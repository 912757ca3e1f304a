"""The emulator's time: real time plus an offset that an admin moves."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """
    A clock that runs at the pace of the real one.

    :param offset_seconds: What is added to real time.
    """

    offset_seconds: float = 0.0

    def now(self) -> float:
        """Return the emulated time in epoch seconds."""
        return time.time() + self.offset_seconds

    def advance(self, seconds: float) -> None:
        """Move the time by ``seconds``, backwards if negative."""
        self.offset_seconds += seconds

    def set_time(self, epoch: float) -> None:
        """Make it ``epoch`` now; time goes on from there."""
        self.offset_seconds = epoch - time.time()
