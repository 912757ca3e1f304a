"""What answers that were not asked for cost when they were: the dollars that reuse has saved."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.land_taken import is_paid_elsewhere
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

if TYPE_CHECKING:
    from airflow_provider_claude_batch.core.manifest import Plan, Round, ShardRecord
    from airflow_provider_claude_batch.core.tally import Tally


def reuse_saving(folder: ManifestFolder, plan: Plan, first_round: Round, tally: Tally) -> Decimal:
    """
    Return the dollars that were not paid again.

    Exact for answers that were taken; rows that ask what another row asks count as the average row that was
    asked. In memory: the ids of one shard.

    :param tally: Of the final rows.
    """
    saved = Decimal(0)
    for shard in first_round.shards:
        if shard.taken is not None:
            saved += _taken_cost(folder, first_round, shard)
    asked = tally.rows - tally.reused - plan.rejected_rows * plan.settings.samples_per_row
    if plan.repeated_requests and asked > 0:
        saved += tally.cost_usd / asked * plan.repeated_requests
    return saved


def _taken_cost(folder: ManifestFolder, record: Round, shard: ShardRecord) -> Decimal:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if shard.taken is None:
        return Decimal(0)
    source = ManifestFolder.at(shard.taken.manifest)
    path = names.results_path(shard.taken.round_index, shard.taken.shard_index)
    if not is_paid_elsewhere(folder, source) or not source.folder.exists(path):
        return Decimal(0)
    ids = folder.read_keys(record.index, shard.index, record.identity).column("claude_custom_id")
    with source.folder.open(path) as file:
        rows = pq.read_table(file, columns=["claude_custom_id", "claude_cost_usd"])
    costs = rows.filter(pc.is_in(rows.column(0), value_set=ids.combine_chunks())).column(1)
    return Decimal(pc.sum(costs, min_count=0).as_py())
