"""The end of a submission: its final rows through the gate to the destination, the receipt, what stays."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.receipt_money import to_money
from airflow_provider_claude_batch.core.tally import UNANSWERED_OUTCOMES
from airflow_provider_claude_batch.errors import QualityGateError
from airflow_provider_claude_batch.submission.checks import run_checks
from airflow_provider_claude_batch.submission.final_rows import final_file, final_rows, final_schema
from airflow_provider_claude_batch.submission.generations import require_newest
from airflow_provider_claude_batch.submission.pricing import price_list
from airflow_provider_claude_batch.submission.publish import publish_rows
from airflow_provider_claude_batch.submission.receipt import make_receipt, write_receipt
from airflow_provider_claude_batch.submission.retention import apply_retention
from airflow_provider_claude_batch.submission.savings import reuse_saving
from airflow_provider_claude_batch.submission.unpublished import tell_unpublished

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow_provider_claude_batch.core.gate import Gate
    from airflow_provider_claude_batch.core.manifest import Plan, Receipt, Round
    from airflow_provider_claude_batch.core.receipt_money import Money
    from airflow_provider_claude_batch.core.tally import Tally
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.checks import Checks
    from airflow_provider_claude_batch.submission.dataset_files import LocalDataset
    from airflow_provider_claude_batch.submission.dataset_how import PublishHow
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.publish import Destination
    from airflow_provider_claude_batch.submission.receipt import TaskInstanceNames


def _way_out(outcomes: Mapping[str, int]) -> str:
    unanswered = sum(outcomes.get(outcome, 0) for outcome in UNANSWERED_OUTCOMES)
    if not unanswered:
        return ""
    return (
        f"A clear of the task that took the snapshot asks {unanswered} of the rows again, which have no "
        "answer, and takes the answers of the others."
    )


def publish_submission(
    folder: ManifestFolder,
    plan: Plan,
    destination: Destination,
    *,
    how: PublishHow,
    gate: Gate,
    checks: Checks,
    rounds_stopped: str,
    ti: TaskInstanceNames,
    now: datetime,
) -> Receipt:
    """
    Publish the final rows of a submission and write its receipt.

    :param rounds_stopped: Why rows that could go again did not, for the gate's message; or empty.
    :raises QualityGateError: Too many rows have no usable answer, or a check does not hold.
    :raises ResultsIncompleteError: The rows are not as many as the snapshot's.
    :raises GenerationClosedError: A later generation of the submission has a snapshot.
    """
    rounds = folder.rounds(plan)

    def judge(tally: Tally, dataset: LocalDataset) -> None:
        refusal = gate.refusal(tally) or run_checks(checks, dataset)
        if refusal is not None:
            stopped = f". No further round was sent: {rounds_stopped}" if rounds_stopped else ""
            raise QualityGateError(
                f"{refusal}{stopped}", outcomes=tally.outcomes, way_out=_way_out(tally.outcomes)
            )

    schema = final_schema(folder, rounds[0], plan.settings.output_schema, keep_content=plan.keep_content)
    row_count = plan.row_count * plan.settings.samples_per_row
    try:
        published = publish_rows(
            final_rows(folder, rounds),
            schema,
            destination,
            row_count=row_count,
            ready=final_file(folder, rounds, schema, row_count=row_count),
            how=how,
            identity=plan.identity,
            gate=judge,
            fence=lambda: require_newest(folder),
            now=now,
        )
    except QualityGateError:
        # The answers are paid for, whether anybody gets to see them or not.
        tell_unpublished(folder, plan, ti=ti, is_published=False)
        raise
    batches = [
        (shard, batch) for record in rounds for shard, batch in folder.batches(record) if batch is not None
    ]
    receipt = make_receipt(
        plan,
        published.tally,
        ti=ti,
        batch_ids=[batch.batch_id for _, batch in batches],
        # The paths of partitions hold values of the rows.
        files=published.files if published.manifest is None else [published.manifest],
        batch_seconds=[
            (batch.ended_at - batch.created_at).total_seconds()
            for shard, batch in batches
            if batch.ended_at is not None and shard.taken is None
        ],
        rounds=len(rounds),
        money=_money(folder, plan, rounds, published.tally),
        estimated=folder.read_estimate(),
        now=now,
    )
    # Before the receipt: after it a retry may find the answers removed.
    tell_unpublished(folder, plan, ti=ti, is_published=True)
    write_receipt(folder, receipt, staging_root=plan.staging_root)
    apply_retention(folder, plan.retain)
    return receipt


def _money(folder: ManifestFolder, plan: Plan, rounds: Sequence[Round], tally: Tally) -> Money | None:
    prices = price_list(plan.created_at).of(plan.settings.model)
    if prices is None or tally.unpriced:
        return None
    return to_money(
        tally.tokens,
        tally.cost_usd,
        prices,
        rows=tally.rows - tally.reused,
        reuse_usd=reuse_saving(folder, plan, rounds[0], tally) if rounds else Decimal(0),
    )


def delete_batches(folder: ManifestFolder, plan: Plan, hook: ClaudeBatchHook) -> list[str]:
    """
    Delete a submission's own batches at Anthropic, once their results are landed.

    Batches whose answers were taken from elsewhere are left to whoever sent them.

    :return: Batches that this call has deleted.
    """
    return [
        batch.batch_id
        for record in folder.rounds(plan)
        for shard, batch in folder.batches(record)
        if batch is not None
        and shard.taken is None
        and batch.loaded_at is not None
        and hook.delete_batch(batch.batch_id)
    ]
