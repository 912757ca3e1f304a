"""
What one look at the batches of a wait means: go on waiting, or end it.

Pure, and shared by the trigger and by the sensor that polls in a worker, so that the two cannot drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


#: Whether a wait is for every one of its batches, or for the first that ends.
WaitFor = Literal["all", "any"]


@dataclass(frozen=True, slots=True)
class PollDecision:
    """
    What to do about a wait.

    :param action: ``wait`` for the rest, all have ``ended``, or the wait is ``late``: its time is up.
    :param waiting: Batches that have not ended, in the order they were given.
    """

    action: Literal["wait", "ended", "late"]
    waiting: tuple[str, ...]


def decide(
    batch_ids: Collection[str],
    *,
    seen: Mapping[str, str],
    now: float,
    timeout_at: float,
    wait_for: WaitFor = "all",
) -> PollDecision:
    """
    Decide from what is known of each batch.

    A batch that was not seen is one that has not ended: a look that fails never ends a wait.

    :param batch_ids: All batches of the wait.
    :param seen: ``processing_status`` by batch id, for the batches that the API showed.
    :param now: Epoch seconds.
    :param timeout_at: Epoch seconds after which the wait is late.
    :param wait_for: Until ``all`` have ended, or ``any``; of no batches, never any.
    """
    waiting = tuple(batch_id for batch_id in batch_ids if seen.get(batch_id) != "ended")
    has_ended = len(waiting) < len(batch_ids) if wait_for == "any" else not waiting
    if has_ended:
        return PollDecision("ended", waiting)
    return PollDecision("late" if now >= timeout_at else "wait", waiting)


def poll_seconds(age_seconds: float) -> float:
    """
    Return how long to wait before the next look: a tenth of the batch's age, between one and ten minutes.

    :param age_seconds: Of the oldest batch of the wait, from its creation.
    """
    return min(max(age_seconds / 10, 60.0), 600.0)
