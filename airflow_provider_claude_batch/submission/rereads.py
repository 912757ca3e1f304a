"""Results that did not come whole are read again: when, how often, and until when. Reading is free."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_claude_batch.errors import ResultsIncompleteError

if TYPE_CHECKING:
    from collections.abc import Callable

Read = TypeVar("Read")

_log = logging.getLogger(__name__)


class BrokenReadError(ResultsIncompleteError):
    """
    The API, or the way to it, failed while results were read.

    :param retry_after_seconds: What the API asks to wait, if it does.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rereads:
    """
    How long a task is patient with results.

    The first time at once, then after ``first_pause_seconds``, then twice as long each time, up to
    ``longest_pause_seconds``; never before the API asks for it.

    :param window_seconds: No read that fails is tried again later than this after the first.
    :param max_whole: Reads that come to their end and still do not add up; a cut that nothing announces looks
        like this.
    :param on_failing: Told the seconds since the first read after each one that fails, and 0 when one
        succeeds after that.
    """

    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 60.0
    window_seconds: float = 300.0
    max_whole: int = 3
    on_failing: Callable[[float], None] = lambda _seconds: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def until_whole(self, read: Callable[[], Read], *, is_odd: Callable[[Read], bool]) -> Read:
        """
        Read, and read again.

        :param is_odd: What was read adds up, but not as it should; when it still does after ``max_whole``
            reads, that is how it is.
        :raises ResultsIncompleteError: Of the last read.
        """
        started, pause = self.clock(), 0.0
        failures = whole_reads = 0
        while True:
            found, error = _attempt(read)
            whole_reads += not isinstance(error, BrokenReadError)
            if found is not None and (whole_reads >= self.max_whole or not is_odd(found)):
                if failures:
                    self.on_failing(0.0)
                return found
            seconds = self.clock() - started
            if error is not None:
                failures += 1
                self.on_failing(seconds)
            asked = error.retry_after_seconds if isinstance(error, BrokenReadError) else None
            wait = max(pause, asked or 0.0)
            if error is not None and (whole_reads >= self.max_whole or seconds + wait > self.window_seconds):
                raise error
            _log.warning(
                "Results are read again in %.0f s, which is free: %s", wait, error or "they do not add up"
            )
            self.sleep(wait)
            pause = min(max(2 * pause, self.first_pause_seconds), self.longest_pause_seconds)


def _attempt(read: Callable[[], Read]) -> tuple[Read | None, ResultsIncompleteError | None]:
    try:
        return read(), None
    except ResultsIncompleteError as error:
        return None, error
