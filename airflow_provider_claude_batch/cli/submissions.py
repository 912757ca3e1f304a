"""
What lies under a staging root: one summary a generation, from names and the records that say what they hold.

Reads plans and rounds only. Whether a shard was sent, and became a batch, is in the names of its files.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.folders import TaskName, path_to_name
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from airflow_provider_claude_batch.core.manifest import Plan, ShardRecord
    from airflow_provider_claude_batch.submission.storage import Folder

_IN_GENERATION = re.compile(r"(.+/g\d+)/((?:r\d+/)?[^/]+)")
_ROUND = re.compile(r"r(\d+)/round-(.+)\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """
    One generation of one submission.

    :param created_at: When its snapshot was whole; ``None`` where it is not, as the fields below.
    :param shards: Of all rounds, without those that have nothing to send.
    :param batches: Shards whose batch is known.
    :param unanswered: Shards that were sent and whose answer is lost: each may be a batch.
    :param unsent: Shards that no batch exists of.
    :param problem: Why it cannot be read.
    """

    name: TaskName
    manifest: str
    created_at: datetime | None = None
    rows: int | None = None
    shards: int | None = None
    batches: int = 0
    unanswered: int = 0
    unsent: int = 0
    is_published: bool = False
    problem: str | None = None


def find_submissions(root: Folder, *, dag_id: str | None) -> Iterator[Submission]:
    """
    Yield every generation of every submission under a staging root, in the order of paths.

    In memory: the names of all files.

    :param dag_id: Only look into this Dag's folder.
    """
    top = root if dag_id is None else root.child(names.safe_segment(dag_id))
    files: defaultdict[str, set[str]] = defaultdict(set)
    root.fs.invalidate_cache()
    for path in root.fs.find(top.root):
        match = _IN_GENERATION.fullmatch(str(path)[len(root.root) :].strip("/"))
        if match is not None:
            files[match[1]].add(match[2])
    for generation in sorted(files):
        yield _summary(ManifestFolder(root.child(generation)), files[generation])


def _summary(folder: ManifestFolder, files: Collection[str]) -> Submission:
    name = path_to_name(folder.uri)
    try:
        plan = folder.read_plan() if names.PLAN in files else None
        if plan is None:
            return Submission(name=name, manifest=folder.uri)
        sendable = list(_sendable_shards(folder, plan, files))
    except ManifestUnreadableError as error:
        return Submission(name=name, manifest=folder.uri, problem=str(error))
    states = [_state(round_index, shard.index, files) for round_index, shard in sendable]
    return Submission(
        name=name,
        manifest=folder.uri,
        created_at=plan.created_at,
        rows=plan.row_count,
        shards=len(states),
        batches=states.count("batch"),
        unanswered=states.count("unanswered"),
        unsent=states.count("unsent"),
        is_published=names.RECEIPT in files,
    )


def _sendable_shards(
    folder: ManifestFolder, plan: Plan, files: Collection[str]
) -> Iterator[tuple[int, ShardRecord]]:
    for file in sorted(files):
        match = _ROUND.fullmatch(file)
        if match is None or match[2] != plan.identity:
            continue
        record = folder.read_round(int(match[1]), plan.identity)
        for shard in record.shards if record is not None else []:
            if shard.requests:
                yield int(match[1]), shard


def _state(round_index: int, shard: int, files: Collection[str]) -> str:
    if names.batch_path(round_index, shard) in files:
        return "batch"
    attempt = 1
    while names.sent_path(round_index, shard, attempt) in files:
        if names.refused_path(round_index, shard, attempt) not in files:
            return "unanswered"
        attempt += 1
    return "unsent"
