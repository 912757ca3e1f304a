"""Answers of earlier runs of a task: requests that are byte for byte the same need not be asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.manifest import Taken
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.manifest_folder import find_manifests
from airflow_provider_claude_batch.submission.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_claude_batch.core.manifest import Plan, Round, ShardRecord
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.staging import TaskInstanceId
    from airflow_provider_claude_batch.submission.takeover import Takeover


def add_earlier_runs(takeover: Takeover, staging_root: str, ti: TaskInstanceId, *, since: datetime) -> None:
    """
    Add the usable answers of a task's other runs and map indexes, those of the latest run first.

    Only answers that are landed, in folders whose retention keeps them. Reads every manifest of the Dag that
    is on the staging path.

    :param takeover: What the task's own earlier generations have; gives away its answers first.
    :param since: Snapshots that are older are not looked at.
    """
    root = Folder.at(staging_root)
    for folder, plan in _earlier_runs(root, ti, since=since):
        for record in folder.rounds(plan):
            for shard in record.shards:
                if shard.taken is None and folder.has_results(record.index, shard.index):
                    source = len(takeover.sources)
                    takeover.sources.append(
                        Taken(manifest=folder.uri, round_index=record.index, shard_index=shard.index)
                    )
                    takeover.free.add(source, _usable(folder, record, shard))


def _earlier_runs(root: Folder, ti: TaskInstanceId, *, since: datetime) -> list[tuple[ManifestFolder, Plan]]:
    dag, own_run, task = (names.safe_segment(name) for name in (ti.dag_id, ti.run_id, ti.task_id))
    own = f"{root.root}/{dag}/{own_run}/{task}" + (f"/{ti.map_index}" if ti.map_index >= 0 else "")
    found = []
    for folder in find_manifests(root, f"{dag}/*/{task}/**"):
        if folder.folder.root.startswith(f"{own}/g"):
            continue
        try:
            plan = folder.read_plan()
        except ManifestUnreadableError:
            continue
        if plan is not None and plan.created_at >= since and plan.retain != "nothing":
            found.append((folder, plan))
    return sorted(found, key=lambda each: each[1].created_at, reverse=True)


def _usable(folder: ManifestFolder, record: Round, shard: ShardRecord) -> Iterator[tuple[str, str]]:
    """Yield digest and ``custom_id`` of each request of a shard that has a usable answer."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = ["claude_request_digest", "claude_custom_id", "claude_outcome"]
    with folder.folder.open(names.results_path(record.index, shard.index)) as file:
        for rows in pq.ParquetFile(file).iter_batches(columns=columns):
            usable = rows.filter(pc.equal(rows.column("claude_outcome"), "ok"))
            yield from zip(usable.column(0).to_pylist(), usable.column(1).to_pylist(), strict=True)
