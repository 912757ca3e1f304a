"""
What to do about a shard, from what is on record, what the API lists, and how long it has been.

Pure. The rule behind it: the last byte of a create may be a batch, so a shard whose answer is lost is looked
for, and sent again only when there is nothing left that it could be.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from airflow_provider_claude_batch.core.manifest import Refused, Sent

#: What the first result line of a batch says of it.
Proof = Literal["ours", "foreign", "not ended", "unreadable"]

#: The time of an answer may be a gateway's, and a batch's time that of the request's arrival. Too wide a
#: window costs a wait for other people's batches; too narrow a one, a second bill.
_CLOCK_TOLERANCE = timedelta(hours=1)

#: An ended batch whose results cannot be read at the moment is looked at again after so long.
_READ_AGAIN_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBatch:
    """
    A batch as the list shows it.

    :param batch_id: Of the batch.
    :param created_at: By the API's clock.
    :param request_count: Sum of the API's counts, which is that of its requests.
    :param has_ended: Its ``processing_status`` is ``ended``.
    """

    batch_id: str
    created_at: datetime
    request_count: int
    has_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeDecision:
    """
    What to do about a shard whose batch is not on record.

    :param action: ``send`` it as attempt ``attempt``; ``prove`` whose the ended ``batch_ids`` are; ``adopt``
        the one in ``batch_ids``; ``wait`` for one of ``batch_ids`` to end, and no longer than ``until``;
        ``refuse``: only a person can tell whether one of ``batch_ids`` is it; it is ``closed``: a later
        generation has taken the submission over.
    """

    action: Literal["send", "prove", "adopt", "wait", "refuse", "closed"]
    attempt: int = 0
    batch_ids: tuple[str, ...] = ()
    until: datetime | None = None


def decide_resume(
    attempts: Sequence[tuple[Sent, Refused | None]],
    *,
    listed: Sequence[ListedBatch],
    proofs: Mapping[str, Proof],
    claimed: Collection[str],
    now: datetime,
    grace: timedelta,
) -> ResumeDecision:
    """
    Decide from everything that is known.

    :param attempts: On record for the shard, from the first, each with the definite no that it got, if any.
    :param listed: Batches of the workspace, newest first, back to before the first attempt without a no.
    :param proofs: What is known of batches whose results were looked at.
    :param claimed: Batches that are another shard's: answered by the API itself, or proven.
    :param now: By the API's clock, when it was listed.
    :param grace: How long after an attempt its batch may first be seen in the list.
    """
    open_attempts = [sent for sent, refused in attempts if refused is None]
    if any(sent.is_closed for sent, _ in attempts):
        return ResumeDecision(action="closed")
    if not open_attempts:
        return ResumeDecision(action="send", attempt=len(attempts) + 1)
    candidates = [
        batch
        for batch in _may_be_one_of(open_attempts, listed, grace=grace)
        if batch.batch_id not in claimed and proofs.get(batch.batch_id) != "foreign"
    ]
    if candidates:
        return _decide_candidates(candidates, proofs, now=now)
    until = max(sent.sent_at for sent in open_attempts) + grace
    if now < until:
        return ResumeDecision(action="wait", until=until)
    return ResumeDecision(action="send", attempt=len(attempts) + 1)


def _decide_candidates(
    candidates: Sequence[ListedBatch], proofs: Mapping[str, Proof], *, now: datetime
) -> ResumeDecision:
    by_proof: dict[Proof | None, list[str]] = {}
    for batch in candidates:
        by_proof.setdefault(proofs.get(batch.batch_id), []).append(batch.batch_id)
    running = tuple(batch.batch_id for batch in candidates if not batch.has_ended)
    if ours := by_proof.get("ours"):
        return ResumeDecision(action="adopt", batch_ids=tuple(ours[:1]))
    if unread := tuple(batch_id for batch_id in by_proof.get(None, ()) if batch_id not in running):
        return ResumeDecision(action="prove", batch_ids=unread)
    if "not ended" in by_proof:
        return ResumeDecision(action="wait", batch_ids=running, until=now + _READ_AGAIN_AFTER)
    if running:
        return ResumeDecision(action="wait", batch_ids=running)
    return ResumeDecision(action="refuse", batch_ids=tuple(by_proof["unreadable"]))


def _may_be_one_of(
    attempts: Sequence[Sent], listed: Sequence[ListedBatch], *, grace: timedelta
) -> list[ListedBatch]:
    """Return the batches that an attempt may have become: with its count, after its cursor, in its time."""
    position = {batch.batch_id: index for index, batch in enumerate(listed)}
    found = {}
    for sent in attempts:
        cursor = position.get(sent.cursor or "")
        for batch in listed[:cursor]:
            is_newer = cursor is not None or batch.created_at > sent.looked_at - _CLOCK_TOLERANCE
            is_in_time = is_newer and batch.created_at <= sent.sent_at + grace + _CLOCK_TOLERANCE
            if batch.request_count == sent.request_count and is_in_time:
                found[batch.batch_id] = batch
    return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRoom:
    """
    Whether the processing queue takes a shard.

    :param queued: Requests in all batches of the workspace that have not ended.
    :param running: Those batches, oldest first.
    """

    has_room: bool
    queued: int
    running: tuple[str, ...]


def queue_room(listed: Sequence[ListedBatch], *, request_count: int, max_queued_requests: int) -> QueueRoom:
    """
    Say whether one more shard fits into the queue.

    A shard that is larger than the whole queue fits into an empty one: the API has the last word.

    :param listed: Batches of the workspace, newest first, back to the oldest that may still run.
    :param request_count: Requests of the shard.
    :param max_queued_requests: Requests that may be in the queue at a time.
    """
    running = [batch for batch in reversed(listed) if not batch.has_ended]
    queued = sum(batch.request_count for batch in running)
    return QueueRoom(
        has_room=not running or queued + request_count <= max_queued_requests,
        queued=queued,
        running=tuple(batch.batch_id for batch in running),
    )
