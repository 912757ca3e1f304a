"""
Whether the lines of a batch's results can be made rows: pure, from how many there are of which kind.

Every request of the shard becomes one row in any case. What is judged here is whether the rows would be the
right ones, and whether an answer that was paid for would be given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_claude_batch.core.results_to_arrow import LineCounts

#: One request in so many, and one in any case, may go again though the server has an answer that nobody is
#: shown: a bill of a hundredth against a batch that no load gets past.
_UNSEEN_IN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCounts:
    """
    What a batch was sent, and what the server says of it.

    :param requests: Sent.
    :param ended: That have ended, in whatever way.
    :param succeeded: Those that were answered, and billed.
    """

    requests: int
    ended: int
    succeeded: int


def is_odd(counts: LineCounts, batch: BatchCounts) -> bool:
    """
    Return whether results are worth another look.

    There is not exactly one readable line for each request, or the server counts other requests.
    """
    is_each = not (counts.foreign or counts.doubled or counts.missing or counts.unreadable)
    return not is_each or batch.ended != batch.requests


def unseen_answers(counts: LineCounts, batch: BatchCounts) -> int:
    """
    Return how many answers the server may have that its results do not show.

    A request without a readable line was not billed where the results show as many answers as the server
    counts. Counts that do not add up to what was sent say nothing.
    """
    without = counts.missing + counts.unreadable
    if batch.ended != batch.requests:
        return without
    return min(max(batch.succeeded - counts.succeeded, 0), without)


def refusal(counts: LineCounts, batch: BatchCounts, *, before: LineCounts | None) -> str | None:
    """
    Say why the lines cannot be made rows, or return ``None``.

    Lines of other requests and lines that are there twice are no reason: they are left out.

    :param counts: Of a stream that has come to its end.
    :param before: Of the read before this one, if it came to its end too.
    """
    if counts.lines and counts.foreign == counts.lines:
        return "not one line is of this batch's requests"
    if counts.differing:
        return f"{counts.differing} lines are not what an earlier line of the same request says"
    unseen = unseen_answers(counts, batch)
    if unseen and not counts.lines:
        return "they are empty"
    if unseen > max(1, batch.requests // _UNSEEN_IN):
        return f"{unseen} answers may be there that they do not show"
    if unseen and (before is None or before.missing_digest != counts.missing_digest):
        return "other requests have no line than the last time they were read" if before else "they are short"
    return None
