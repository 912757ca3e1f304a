"""
Receipts of submissions that were paid for and not published, so that every dollar is on one receipt.

They are told where somebody finds them out: where the gate, the pilot or the cap stops one, and by the load
of another that took its answers or is a later generation. Once it is published, its own receipt takes over.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.receipt_money import Money, to_money
from airflow_provider_claude_batch.core.tally import TOKEN_KINDS, Tally, count_billed
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.generations import is_told, untold_generations
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.pricing import price_list
from airflow_provider_claude_batch.submission.receipt import (
    make_receipt,
    remove_unpublished_receipt,
    write_unpublished_receipt,
)
from airflow_provider_claude_batch.submission.storage import Folder

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_claude_batch.core.manifest import Plan, Round, ShardRecord
    from airflow_provider_claude_batch.submission.receipt import TaskInstanceNames

_log = logging.getLogger(__name__)

_TOKENS = tuple(f"{kind}_tokens" for kind in TOKEN_KINDS)


@dataclass(slots=True)
class _Names:
    """Of the load that would have published a submission."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None


def tell_unpublished(
    folder: ManifestFolder, plan: Plan, *, ti: TaskInstanceNames, is_published: bool
) -> None:
    """
    Write a receipt for each submission that has none, and whose money a load's submission knows of.

    These are those whose answers it took from other runs, and the generations before it; itself, where it is
    not published. What is not landed is not known. Doing it again changes nothing.

    :param ti: Of the load.
    :param is_published: Its own receipt tells what it took from the generations before it.
    """
    if not plan.staging_root:
        return
    told_here = folder if is_published else None
    if not is_published and not is_told(folder):
        _tell(folder, told_here=None, ti=ti)
    for earlier in untold_generations(folder):
        _tell_other(ManifestFolder(earlier), told_here=told_here, ti=ti)
    for source in _other_sources(folder, plan):
        if not is_told(source):
            _tell_other(source, told_here=None, ti=ti)


def _tell_other(source: ManifestFolder, *, told_here: ManifestFolder | None, ti: TaskInstanceNames) -> None:
    try:
        _tell(source, told_here=told_here, ti=ti)
    except (ManifestUnreadableError, FileNotFoundError) as error:
        # What is wrong with another submission keeps no rows of this one from being published.
        _log.warning("What %s was billed is on no receipt: %s", source.uri, error)


def _tell(source: ManifestFolder, *, told_here: ManifestFolder | None, ti: TaskInstanceNames) -> None:
    plan = source.read_plan()
    if plan is None or not plan.staging_root:
        return
    tally, batches = _billed(source, plan)
    if told_here is not None:
        _take_off(tally, told_here, source)
    if not tally.rows:
        # What the gate has told of it is on the later generation's receipt, where that took all of it.
        remove_unpublished_receipt(plan, staging_root=plan.staging_root)
        return
    receipt = make_receipt(
        plan,
        tally,
        ti=_names_of(source, plan, ti),
        batch_ids=[batch_id for batch_id, _ in batches],
        files=[],
        batch_seconds=[seconds for _, seconds in batches if seconds is not None],
        rounds=len(source.rounds(plan)),
        money=_money(plan, tally),
        estimated=source.read_estimate(),
        # Before it was published, whenever that may be: the later receipt of a submission counts.
        now=plan.created_at,
    )
    write_unpublished_receipt(receipt, staging_root=plan.staging_root)
    if told_here is None and is_told(source):
        remove_unpublished_receipt(receipt, staging_root=plan.staging_root)


def _other_sources(folder: ManifestFolder, plan: Plan) -> list[ManifestFolder]:
    """Return the submissions of other runs whose answers a submission takes."""
    first = folder.read_round(0, plan.identity)
    taken = {shard.taken.manifest for shard in (first.shards if first else []) if shard.taken is not None}
    here, _ = folder.folder.parent()
    sources = [ManifestFolder.at(manifest) for manifest in sorted(taken)]
    return [source for source in sources if source.folder.parent()[0].root != here.root]


def _billed(source: ManifestFolder, plan: Plan) -> tuple[Tally, list[tuple[str, float | None]]]:
    """Add up what a submission's own batches were billed; return their ids and seconds too."""
    tally = Tally()
    batches = []
    for record in source.rounds(plan):
        for shard, batch in source.batches(record):
            if shard.taken is not None or batch is None or not source.has_results(record.index, shard.index):
                continue
            _add(tally, _results(source, record, shard), "claude_")
            if record.index:
                _take(tally, _before(source, record, shard), "claude_prior_")
            ended = batch.ended_at
            batches.append(
                (batch.batch_id, None if ended is None else (ended - batch.created_at).total_seconds())
            )
    return tally, batches


def _take_off(tally: Tally, folder: ManifestFolder, source: ManifestFolder) -> None:
    """Take off what the receipt of a later generation tells of a submission."""
    plan = folder.read_plan()
    first = None if plan is None else folder.read_round(0, plan.identity)
    for shard in first.shards if first is not None else []:
        if first is not None and shard.taken is not None and shard.taken.manifest == source.uri:
            _take(tally, _results(folder, first, shard), "claude_")


def _results(folder: ManifestFolder, record: Round, shard: ShardRecord) -> pa.Table:
    import pyarrow.parquet as pq

    columns = ["claude_outcome", "claude_cost_usd", *(f"claude_{name}" for name in _TOKENS)]
    with folder.folder.open(names.results_path(record.index, shard.index)) as file:
        return pq.read_table(file, columns=columns)


def _before(folder: ManifestFolder, record: Round, shard: ShardRecord) -> pa.Table:
    """Return what the rows of a later round came to in the rounds before."""
    import pyarrow.parquet as pq

    columns = ["claude_prior_cost_usd", *(f"claude_prior_{name}" for name in _TOKENS)]
    with folder.folder.open(names.keys_path(record.index, shard.index, record.identity)) as file:
        rows = pq.read_table(file, columns=["claude_previous_outcome", *columns])
    return rows.rename_columns(["claude_prior_outcome", *columns])


def _add(tally: Tally, rows: pa.Table, prefix: str, sign: int = 1) -> None:
    import pyarrow.compute as pc

    outcomes = Counter(rows.column(f"{prefix}outcome").to_pylist())
    cost = rows.column(f"{prefix}cost_usd")
    tally.rows += sign * rows.num_rows
    tally.unpriced += sign * cost.null_count
    tally.cost_usd += sign * Decimal(pc.sum(cost, min_count=0).as_py())
    tally.billed += sign * count_billed(rows.column(f"{prefix}output_tokens"))
    for outcome, count in outcomes.items():
        tally.outcomes[outcome] += sign * count
    for kind in TOKEN_KINDS:
        tally.tokens[kind] += sign * pc.sum(rows.column(f"{prefix}{kind}_tokens"), min_count=0).as_py()


def _take(tally: Tally, rows: pa.Table, prefix: str) -> None:
    _add(tally, rows, prefix, -1)
    for outcome in [outcome for outcome, count in tally.outcomes.items() if not count]:
        del tally.outcomes[outcome]


def _money(plan: Plan, tally: Tally) -> Money | None:
    prices = price_list(plan.created_at).of(plan.settings.model)
    if prices is None or tally.unpriced:
        return None
    return to_money(tally.tokens, tally.cost_usd, prices, rows=tally.rows)


def _names_of(source: ManifestFolder, plan: Plan, ti: TaskInstanceNames) -> _Names:
    """Return the names of the load of a submission of the same Dag, whose run its folder's path says."""
    match source.folder.root.removeprefix(Folder.at(plan.staging_root).root).strip("/").split("/"):
        case [_, run, _, _]:
            return _Names(ti.dag_id, names.from_segment(run), ti.task_id, -1)
        case [_, run, _, index, _] if index.isdecimal():
            return _Names(ti.dag_id, names.from_segment(run), ti.task_id, int(index))
    return _Names(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
