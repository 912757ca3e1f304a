"""
When a batch ends and how far it has come by then, as a function of its record alone.

The requests of a batch are finished one after the other, evenly between its creation and its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from airflow_provider_claude_batch.emulator.store import Batch

#: https://platform.claude.com/docs/en/build-with-claude/batch-processing, read 2026-11-22.
SECONDS_TO_EXPIRY = 24 * 3600.0
#: Results are kept this long after ``created_at``, not after ``ended_at``; the same page.
SECONDS_TO_ARCHIVE = 29 * 24 * 3600.0

Rest = Literal["canceled", "expired"]


@dataclass(frozen=True, slots=True)
class Ending:
    """
    How a batch ends.

    :param ended_at: When, in epoch seconds.
    :param finished_count: Requests that were answered by then.
    :param rest: What becomes of the others.
    """

    ended_at: float
    finished_count: int
    rest: Rest


def ending_of(batch: Batch) -> Ending | None:
    """Return how ``batch`` will end or has ended, as things stand; ``None`` if it never will."""
    if batch.seconds is None:
        return None
    ended_at = batch.created_at + min(batch.seconds, SECONDS_TO_EXPIRY)
    if batch.cancel_initiated_at is not None:
        canceled_at = batch.cancel_initiated_at + batch.seconds_to_cancel
        if canceled_at < ended_at:
            return Ending(canceled_at, finished_count(batch, canceled_at), "canceled")
    return Ending(ended_at, finished_count(batch, ended_at), "expired")


def finished_count(batch: Batch, now: float) -> int:
    """Return how many requests of ``batch`` are answered at ``now``."""
    if batch.seconds is None:
        return 0
    elapsed = now - batch.created_at
    if elapsed >= batch.seconds:
        return batch.request_count
    return max(0, int(batch.request_count * elapsed / batch.seconds))
