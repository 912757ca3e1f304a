"""
What of a submission stays: request text is customer data, and is removed when it is no longer needed.

The JSON records stay in any case: they hold ids, counts and digests, and keep a batch from being paid twice.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import RESULTS_KEPT
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.generations import has_unpublished_successor
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, find_manifests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_claude_batch.core.manifest import Plan, Retain
    from airflow_provider_claude_batch.submission.storage import Folder

#: Beginnings of the names of the files that hold what came from a row or from an answer.
_REMOVED: dict[Retain, tuple[str, ...]] = {
    "everything": (),
    "answers": ("requests-",),
    "nothing": ("requests-", "keys-", "results-"),
}


def apply_retention(folder: ManifestFolder, retain: Retain) -> list[str]:
    """
    Remove what is not to stay from every round of a submission.

    Doing it again removes nothing more. After ``nothing``, the results cannot be published again. Keys and
    answers stay where a later generation may take them and has not published yet.

    :param folder: One generation.
    :param retain: ``everything``, ``answers`` (and keys, without the requests) or ``nothing``.
    :return: Paths that were removed, relative to the folder.
    """
    if retain == "nothing" and has_unpublished_successor(folder):
        retain = "answers"
    beginnings = _REMOVED[retain]
    removed = []
    for round_name in [
        name for name in folder.folder.names() if name.startswith("r") and name[1:].isdecimal()
    ]:
        for name in folder.folder.child(round_name).names():
            if beginnings and name.startswith(beginnings):
                folder.folder.remove(f"{round_name}/{name}")
                removed.append(f"{round_name}/{name}")
    return removed


def collect_garbage(root: Folder, *, now: datetime, is_dry_run: bool) -> Iterator[tuple[str, str]]:
    """
    Apply to every submission under a staging root what its plan says of retention.

    A submission that was loaded keeps what ``retain`` says. One that was not loaded keeps everything for
    ``retain_failed_days`` from its snapshot, and as long as Anthropic keeps its results, then only its
    records. A snapshot that was never finished is left to the task that took it, which writes it anew. What
    cannot be read is left alone and named.

    :param root: The staging root.
    :param now: With a zone.
    :param is_dry_run: Only say what would be done.
    :return: URI of each submission that something is to be said of, and what.
    """
    for folder in find_manifests(root):
        try:
            retain = _due(folder, now=now)
        except ManifestUnreadableError as error:
            yield folder.uri, f"left alone: {error}"
            continue
        if retain is None:
            continue
        if is_dry_run:
            yield folder.uri, f"would keep {retain}"
        elif removed := apply_retention(folder, retain):
            yield folder.uri, f"kept {retain}, removed {len(removed)} files"


def _due(folder: ManifestFolder, *, now: datetime) -> Retain | None:
    plan = folder.read_plan()
    if plan is None:
        return None
    if folder.folder.exists(names.RECEIPT):
        return plan.retain
    days = timedelta(days=plan.retain_failed_days)
    if _may_have_batches(folder, plan):
        # Without the keys, answers that were paid for could not be joined any more.
        days = max(days, RESULTS_KEPT)
    return "nothing" if now - plan.created_at > days else None


def _may_have_batches(folder: ManifestFolder, plan: Plan) -> bool:
    rounds = folder.rounds(plan)
    return not rounds or any(
        folder.attempts(record.index, shard.index) for record in rounds for shard in record.shards
    )
