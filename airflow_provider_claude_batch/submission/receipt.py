"""The receipt: what a submission came to, beside its manifest and once more by day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from airflow_provider_claude_batch.core.cache_use import cache_use
from airflow_provider_claude_batch.core.manifest import Estimated, Plan, Receipt, to_json
from airflow_provider_claude_batch.submission.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from airflow_provider_claude_batch.core.receipt_money import Money
    from airflow_provider_claude_batch.core.tally import Tally
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder


class TaskInstanceNames(Protocol):
    """What a receipt says of the task instance that loaded."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None


def make_receipt(
    plan: Plan,
    tally: Tally,
    *,
    ti: TaskInstanceNames,
    batch_ids: Sequence[str],
    files: Sequence[str],
    batch_seconds: Sequence[float],
    rounds: int,
    money: Money | None,
    estimated: Estimated | None,
    now: datetime,
) -> Receipt:
    """
    Return the receipt of published rows; outcomes with most rows first.

    :param money: ``None`` where a price is not known.
    :param estimated: What was thought before, if anything.
    """
    use = cache_use(tally.tokens, None, rows=tally.rows)
    return Receipt(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        identity=plan.identity,
        model=plan.settings.model,
        batch_ids=list(batch_ids),
        rows=tally.rows,
        outcomes=dict(tally.outcomes.most_common()),
        tokens=dict(tally.tokens),
        created_at=plan.created_at,
        published_at=now,
        files=list(files),
        batch_seconds=list(batch_seconds),
        cost_usd=None if tally.unpriced else f"{tally.cost_usd:f}",
        rounds=rounds,
        list_cost_usd=None if money is None else f"{money.list_usd:f}",
        cost_by_kind={} if money is None else _to_texts(money.by_kind),
        saved_usd={} if money is None else _to_texts(money.saved_usd),
        cache_hit_rate=use.hit_rate if use is not None else None,
        estimate_usd=[
            usd for usd in (estimated and (estimated.usd_low, estimated.usd_high)) or () if usd is not None
        ],
        reused_rows=tally.reused,
        billed_rows=tally.billed,
    )


def _to_texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: f"{amount:f}" for name, amount in amounts.items()}


def write_receipt(folder: ManifestFolder, receipt: Receipt, *, staging_root: str) -> None:
    """
    Write ``receipt.json``, the last file of a manifest folder, and a copy under ``_receipts/``.

    The copy lies in ``day=YYYY-MM-DD`` at the staging root and is named by the submission's identity: a
    receipt that is written again replaces itself.

    :param staging_root: URI from the plan; empty for no copy.
    """
    folder.write_receipt(receipt)
    if staging_root:
        day = f"{receipt.published_at:%Y-%m-%d}"
        Folder.at(staging_root).write(f"_receipts/day={day}/{receipt.identity}.json", to_json(receipt))
        remove_unpublished_receipt(receipt, staging_root=staging_root)


def write_unpublished_receipt(receipt: Receipt, *, staging_root: str) -> None:
    """Write what a submission was billed that is not published, under the day of its snapshot."""
    Folder.at(staging_root).write(_unpublished_path(receipt), to_json(receipt))


def remove_unpublished_receipt(of: Receipt | Plan, *, staging_root: str) -> None:
    """Remove that receipt of a submission: published ones tell the same dollars."""
    Folder.at(staging_root).remove(_unpublished_path(of))


def _unpublished_path(of: Receipt | Plan) -> str:
    return f"_receipts/day={of.created_at:%Y-%m-%d}/{of.identity}-unpublished.json"
