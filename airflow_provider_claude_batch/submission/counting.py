"""What the steps of a task mean for Airflow's metrics; see :mod:`~.metrics`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.submission import metrics
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from airflow_provider_claude_batch.submission.rounds import LandedShard
from airflow_provider_claude_batch.submission.send import SentShard

if TYPE_CHECKING:
    from airflow_provider_claude_batch.core.manifest import Receipt
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.receipt import TaskInstanceNames
    from airflow_provider_claude_batch.submission.rounds import Step


def count_sent(ti: TaskInstanceNames, sent: SentShard, *, max_queued_requests: int) -> None:
    """Count a shard that has become a batch by this call."""
    if not sent.is_new or sent.shard.taken is not None:
        return
    metrics.batches_submitted(ti, batches=1, requests=sent.shard.requests)
    if sent.queued_requests is not None:
        metrics.queue_used(ti, requests=sent.queued_requests, max_requests=max_queued_requests)


def count_step(ti: TaskInstanceNames, step: Step, *, max_queued_requests: int) -> None:
    """Count one step of the rounds."""
    if isinstance(step, SentShard):
        count_sent(ti, step, max_queued_requests=max_queued_requests)
    elif isinstance(step, LandedShard) and step.is_new and step.batch is not None and step.batch.ended_at:
        metrics.batch_ended(ti, seconds=(step.batch.ended_at - step.batch.created_at).total_seconds())


def count_in_progress(ti: TaskInstanceNames, folder: ManifestFolder) -> None:
    """Say how many batches of a submission were sent and are not landed."""
    plan, _ = require_plan(folder)
    waiting = [
        shard.requests
        for record in folder.rounds(plan)
        for shard, batch in folder.batches(record)
        if batch is not None and batch.loaded_at is None and shard.taken is None
    ]
    metrics.batches_in_progress(ti, batches=len(waiting), requests=sum(waiting))


def count_published(ti: TaskInstanceNames, receipt: Receipt) -> None:
    """Say what a submission came to."""
    cost = None if receipt.cost_usd is None else Decimal(receipt.cost_usd)
    metrics.rows_published(ti, outcomes=receipt.outcomes, tokens=receipt.tokens, cost_usd=cost)
