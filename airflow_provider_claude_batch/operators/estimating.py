"""What a submit task says of the cost before it sends: in the log, on record, and as an XCom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.manifest import Estimated
from airflow_provider_claude_batch.submission.deployment import cap_usd
from airflow_provider_claude_batch.submission.estimating import estimate_submission
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from airflow_provider_claude_batch.submission.pricing import price_list
from airflow_provider_claude_batch.submission.receipts import usual_output

if TYPE_CHECKING:
    from decimal import Decimal

    from airflow_provider_claude_batch.core.estimate import OutputPerRequest
    from airflow_provider_claude_batch.core.manifest import Plan
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder


def tell_estimate(
    asked: ClaudeBatchSubmitOperator,
    folder: ManifestFolder,
    plan: Plan,
    hook: ClaudeBatchHook,
    *,
    dag_id: str,
    output: OutputPerRequest | None = None,
) -> None:
    """
    Estimate what the plan comes to, log it and put it on record. Free; a counter that fails is no failure.

    :param output: What answers are like; unless given, as in the Dag's earlier runs.
    """
    now = datetime.now(UTC)
    _, first_round = require_plan(folder)
    found = estimate_submission(
        folder,
        plan,
        first_round,
        hook,
        prices=price_list(now),
        output=output or usual_output(plan, dag_id=dag_id, now=now),
    )
    if found is None:
        return
    text = found.to_text(max_cost_usd=cap_usd(asked.max_cost_usd))
    asked.log.info("Estimate: %s", text)
    folder.write_estimate(
        Estimated(
            text=text,
            requests=found.requests,
            input_tokens=round(found.input_tokens.mid),
            output_tokens_low=round(found.output_tokens.low),
            output_tokens_high=round(found.output_tokens.high),
            output_source=found.output_source,
            usd_low=_to_text(found.usd_low),
            usd_high=_to_text(found.usd_high),
            list_usd=_to_text(found.list_usd),
        )
    )


def _to_text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
