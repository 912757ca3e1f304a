"""
What tells one task about another's submission: a small plain dict, a manifest URI, or a sequence of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.running import is_answered


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionReference:
    """
    One submission, as its submit task returned it.

    :param manifest: URI of the manifest folder.
    :param batch_ids: Its batches, in the order of the shards; none of those whose answers were taken and are
        there.
    :param request_count: Requests in all of them.
    """

    manifest: str
    claude_conn_id: str
    batch_ids: tuple[str, ...]
    request_count: int

    def to_xcom(self) -> dict[str, object]:
        """Return the plain dict that goes through XCom."""
        return {
            "manifest": self.manifest,
            "claude_conn_id": self.claude_conn_id,
            "batch_ids": list(self.batch_ids),
            "request_count": self.request_count,
        }


def read_reference(uri: str) -> SubmissionReference:
    """
    Read a reference from a manifest folder.

    :param uri: Of the folder.
    :raises ManifestUnreadableError: There is no finished snapshot.
    """
    folder = ManifestFolder.at(uri)
    plan, first_round = require_plan(folder)
    batches = [
        batch
        for shard, batch in folder.batches(first_round)
        # Nobody has to wait for answers that are there, and their batch may be deleted.
        if batch is not None and not (shard.taken and is_answered(folder, first_round, shard))
    ]
    return SubmissionReference(
        manifest=folder.uri,
        claude_conn_id=plan.settings.claude_conn_id,
        batch_ids=tuple(batch.batch_id for batch in batches),
        request_count=sum(shard.requests for shard in first_round.shards),
    )


def to_references(submission: object) -> list[SubmissionReference]:
    """
    Take whatever an author may hand to ``submission=``.

    :param submission: The output of a submit task, a manifest URI, or an iterable of these such as the output
        of a mapped submit task. ``None`` in it, from a skipped task, counts for nothing.
    :raises ClaudeBatchInputError: It is none of these.
    """
    if submission is None:
        return []
    if isinstance(submission, str):
        return [read_reference(submission)]
    if isinstance(submission, Mapping):
        return [_from_mapping(submission)]
    if isinstance(submission, Iterable):
        return [reference for member in submission for reference in to_references(member)]
    raise ClaudeBatchInputError(
        f"submission is a {type(submission).__name__}: give the output of a ClaudeBatchSubmitOperator or a "
        "manifest URI."
    )


def _from_mapping(submission: Mapping[object, object]) -> SubmissionReference:
    manifest, batch_ids = submission.get("manifest"), submission.get("batch_ids")
    conn_id, count = submission.get("claude_conn_id"), submission.get("request_count")
    if not isinstance(manifest, str):
        raise ClaudeBatchInputError(
            "submission holds no manifest: give the output of a ClaudeBatchSubmitOperator."
        )
    if not isinstance(batch_ids, list) or not isinstance(conn_id, str) or not isinstance(count, int):
        return read_reference(manifest)
    return SubmissionReference(
        manifest=manifest,
        claude_conn_id=conn_id,
        batch_ids=tuple(str(batch_id) for batch_id in batch_ids),
        request_count=count,
    )
