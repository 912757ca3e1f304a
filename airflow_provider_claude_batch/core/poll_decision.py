"""
When to look at the batches of a wait, and what a look means: go on waiting, or end it.

Pure, and shared by the trigger and by the sensor that polls in a worker, so that the two cannot drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Whether a wait is for every one of its batches, or for the first that ends.
WaitFor = Literal["all", "any"]

#: Seconds between looks, unless the author says otherwise.
SHORTEST_SECONDS = 60.0
LONGEST_SECONDS = 600.0

#: Looks in a row that say of a batch that it is not there, after which it is gone. A few are weather: live
#: batches are now and then reported so, https://github.com/anthropics/anthropic-sdk-python/issues/1432, read
#: 2026-11-22.
LOOKS_UNTIL_GONE = 20

_FIRST_RETRY_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class PollDecision:
    """
    What to do about a wait.

    :param action: ``wait`` for the rest; they have ``ended``; the wait is ``late``: its time is up; the
        ``deadline`` has come at which the rest is to be canceled; batches are ``gone``, deleted or another
        workspace's.
    :param waiting: Batches that have not ended, in the order they were given.
    """

    action: Literal["wait", "ended", "late", "deadline", "gone"]
    waiting: tuple[str, ...]


def decide(
    batch_ids: Collection[str],
    *,
    seen: Mapping[str, str],
    now: float,
    timeout_at: float,
    wait_for: WaitFor = "all",
    cancel_at: float | None = None,
    absent: Mapping[str, int] | None = None,
) -> PollDecision:
    """
    Decide from what is known of each batch.

    A batch that was not seen is one that has not ended: a look that fails never ends a wait.

    :param batch_ids: All batches of the wait.
    :param seen: ``processing_status`` by batch id, for the batches that the API showed.
    :param now: Epoch seconds.
    :param timeout_at: Epoch seconds after which the wait is late.
    :param wait_for: Until ``all`` have ended, or ``any``; of no batches, never any.
    :param cancel_at: Epoch seconds at which the rest is to be canceled.
    :param absent: How many looks in a row have said of a batch that it is not there.
    """
    waiting = tuple(batch_id for batch_id in batch_ids if seen.get(batch_id) != "ended")
    has_ended = len(waiting) < len(batch_ids) if wait_for == "any" else not waiting
    if has_ended:
        return PollDecision("ended", waiting)
    gone = [batch_id for batch_id in waiting if (absent or {}).get(batch_id, 0) >= LOOKS_UNTIL_GONE]
    if gone and len(gone) == len(waiting):
        return PollDecision("gone", tuple(gone))
    if now >= timeout_at:
        return PollDecision("late", waiting)
    if cancel_at is not None and now >= cancel_at:
        return PollDecision("deadline", waiting)
    return PollDecision("wait", waiting)


def look_seconds(
    age_seconds: float, *, expected_seconds: float | None = None, poll_interval: float | None = None
) -> float:
    """
    Return how long to wait before the next look.

    A tenth of the batch's age, between one and ten minutes, so that what ends is seen within a tenth of its
    run time; and, while it is younger than such batches are when they end, as seldom as that allows: a
    quarter of what is left.

    :param age_seconds: Of the youngest batch of the wait, from its creation.
    :param expected_seconds: How long such batches took before.
    :param poll_interval: The author's own choice, which wins.
    """
    if poll_interval is not None:
        return poll_interval
    left = 0.0 if expected_seconds is None else (expected_seconds - age_seconds) / 4
    return min(max(age_seconds / 10, left, SHORTEST_SECONDS), LONGEST_SECONDS)


def retry_seconds(failures: int, *, retry_after: float | None = None) -> float:
    """
    Return how long a connection rests after looks that failed.

    :param failures: In a row, from 1.
    :param retry_after: What the API asked for.
    """
    backed_off = _FIRST_RETRY_SECONDS * float(1 << min(failures - 1, 10))
    return min(max(backed_off, retry_after or 0.0), LONGEST_SECONDS)
