"""What a load tells: its log, its XCom and the event of the assets that it updates."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_claude_batch.core.estimate import to_usd
from airflow_provider_claude_batch.core.receipt_to_text import outcomes_to_text
from airflow_provider_claude_batch.submission.rounds import (
    LandedShard,
    RoundBegun,
    RoundsStopped,
)
from airflow_provider_claude_batch.submission.send import SentShard

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_provider_claude_batch.core.manifest import Receipt
    from airflow_provider_claude_batch.submission.rounds import Step


def log_step(operator: BaseOperator, step: Step) -> None:
    """Log one step of the rounds; what was done by an earlier try is not told again."""
    if isinstance(step, LandedShard) and step.batch is not None and step.is_new:
        if step.shard.taken is None:
            operator.log.info("Batch %s is landed: %d requests", step.batch.batch_id, step.shard.requests)
        else:
            operator.log.info(
                "Answers of batch %s are taken from %s", step.batch.batch_id, step.shard.taken.manifest
            )
    elif isinstance(step, RoundBegun):
        operator.log.info(
            "Round %d: %d rows, which were %s",
            step.index + 1,
            step.requests,
            ", ".join(f"{outcome} ({count})" for outcome, count in sorted(step.by_outcome.items())),
        )
    elif isinstance(step, SentShard):
        operator.log.info("Sent as %s: %d requests", step.batch.batch_id, step.shard.requests)
    elif isinstance(step, RoundsStopped):
        operator.log.warning("No further round: %s.", step.why)


def log_receipt(operator: BaseOperator, receipt: Receipt) -> None:
    """Log what was published."""
    operator.log.info(
        "Published %d rows to %s: %s; %s; %s; rounds: %d",
        receipt.rows,
        ", ".join(receipt.files),
        outcomes_to_text(receipt),
        ", ".join(f"{count} {kind} tokens" for kind, count in receipt.tokens.items() if count),
        _cost_text(receipt),
        receipt.rounds,
    )
    if unusable := receipt.rows - receipt.outcomes.get("ok", 0):
        operator.log.warning(
            "%d of %d rows have no usable answer: see claude_outcome and claude_error_type in the dataset.",
            unusable,
            receipt.rows,
        )


def _cost_text(receipt: Receipt) -> str:
    if receipt.cost_usd is None:
        return "cost not known"
    parts = [to_usd(Decimal(receipt.cost_usd))]
    if receipt.list_cost_usd is not None:
        parts.append(f"list price {to_usd(Decimal(receipt.list_cost_usd))}")
    if receipt.estimate_usd:
        bounds = " to ".join(to_usd(Decimal(usd)) for usd in receipt.estimate_usd)
        parts.append(f"estimated {bounds}{' for what was sent' if receipt.reused_rows else ''}")
    saved = {name: Decimal(usd) for name, usd in receipt.saved_usd.items() if name != "batch"}
    parts += [f"{name} saved {to_usd(usd)}" for name, usd in saved.items() if usd > 0]
    if receipt.cache_hit_rate is not None:
        parts.append(f"cache hit rate {receipt.cache_hit_rate:.1%}")
    return ", ".join(parts)


def receipt_to_xcom(receipt: Receipt, manifest: str | None) -> dict[str, Any]:
    """Return the small dict that the load returns."""
    return {
        "files": receipt.files,
        "rows": receipt.rows,
        "outcomes": receipt.outcomes,
        "tokens": receipt.tokens,
        "cost_usd": receipt.cost_usd,
        "list_cost_usd": receipt.list_cost_usd,
        "saved_usd": receipt.saved_usd,
        "estimate_usd": receipt.estimate_usd,
        "cache_hit_rate": receipt.cache_hit_rate,
        "rounds": receipt.rounds,
        "reused_rows": receipt.reused_rows,
        "manifest": manifest,
    }


def add_to_outlet_events(
    operator: BaseOperator, context: Context, receipt: Receipt, manifest: str | None
) -> None:
    """Put the same on the event of every asset that the task updates, for Dags that are scheduled on it."""
    for outlet in operator.outlets:
        context["outlet_events"][outlet].extra.update(receipt_to_xcom(receipt, manifest))
