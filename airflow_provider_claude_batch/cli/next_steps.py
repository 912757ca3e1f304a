"""What a retry of the submit task, or of the load task, would do next, in sentences. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.text import count, to_time
from airflow_provider_claude_batch.core.resume_decision import decide_resume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from airflow_provider_claude_batch.cli.facts import ShardFacts, SubmissionFacts
    from airflow_provider_claude_batch.core.manifest import Sent
    from airflow_provider_claude_batch.hooks.listing import Listing


def next_steps(
    facts: SubmissionFacts, *, listing: Listing | None, now: datetime, grace: timedelta
) -> list[str]:
    """
    Say what a retry does, and what it costs.

    :param facts: What is on record.
    :param listing: The API's list, back to the first attempt whose answer is lost, if it was asked.
    :param now: With a zone.
    :param grace: How long a batch whose create's answer was lost is looked for.
    """
    if facts.newest_generation > facts.name.generation:
        return [
            f"g{facts.newest_generation:02d} is the newest generation: a retry works on that one, and "
            "this one stays as it is."
        ]
    steps = [_search_step(facts, shard, listing, now=now, grace=grace) for shard in facts.unanswered]
    if unsent := facts.unsent:
        requests = sum(shard.shard.requests for shard in unsent)
        steps.append(
            f"A retry of the submit task sends {count(len(unsent), 'shard')} with "
            f"{count(requests, 'request')}, which are billed then; the query is not run again."
        )
    return steps or [_all_known_step(facts)]


def _all_known_step(facts: SubmissionFacts) -> str:
    """Say what comes after everything was sent that is to be."""
    if facts.receipt is not None:
        is_kept = facts.plan.retain != "nothing"
        what = "publishes the same rows again" if is_kept else "changes nothing, since no answer was kept,"
        return (
            f"Published at {to_time(facts.receipt.published_at)}. A retry of the load task {what} and costs "
            "nothing."
        )
    if not facts.plan.row_count:
        return "The source had no rows, so nothing is sent and nothing is billed."
    if any(shard.is_closed for shard in facts.shards):
        return "What was not sent is closed, for a later generation: a retry sends none of it from here."
    return (
        "Every shard has its batch: a retry of the submit task sends nothing and costs nothing. The load "
        "task publishes when all batches have ended. A clear of the finished submit task reads the source "
        "again, and sends only requests that were not sent here."
    )


def _search_step(
    facts: SubmissionFacts,
    shard: ShardFacts,
    listing: Listing | None,
    *,
    now: datetime,
    grace: timedelta,
) -> str:
    """Say what becomes of a shard that may be a batch."""
    open_attempts = [sent for sent, refused in shard.attempts if refused is None]
    if listing is None:
        return _blind_search_step(shard, open_attempts, now=now, grace=grace)
    decision = decide_resume(
        shard.attempts,
        listed=listing.batches,
        proofs={},
        claimed=facts.known,
        now=listing.now,
        grace=grace,
    )
    batches = " or ".join(decision.batch_ids)
    if decision.action == "prove":
        return (
            f"{shard.title} may be {batches}, which ended: a retry reads the first result line, and adopts "
            "it if it is this shard's. That costs nothing."
        )
    if decision.action == "wait" and batches:
        return (
            f"{shard.title} may be {batches}, which is running: a retry waits for its end and then proves "
            "it. That costs nothing."
        )
    if decision.action == "wait":
        return (
            f"{shard.title}: no batch that it could be is listed. A retry looks until "
            f"{to_time(decision.until)}, and then sends it again as attempt {len(shard.attempts) + 1}."
        )
    return (
        f"{shard.title}: no batch that it could be is listed, and its time is over. A retry sends it "
        f"again as attempt {len(shard.attempts) + 1}: {count(shard.shard.requests, 'request')}."
    )


def _blind_search_step(
    shard: ShardFacts, open_attempts: Sequence[Sent], *, now: datetime, grace: timedelta
) -> str:
    until = max(sent.sent_at for sent in open_attempts) + grace
    time = f"until {to_time(until)}" if now < until else f"and its time was over at {to_time(until)}"
    return (
        f"{shard.title} was sent and its answer is lost, so it may be a batch. A retry looks for it in the "
        f"API's list, {time}; if no batch there can be it, it is sent again as attempt "
        f"{len(shard.attempts) + 1}. --live says what is listed."
    )
