"""The time at which a submission's answers are needed, and what is done when it comes near."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.running import is_answered, look_at_batches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook


#: A batch that is canceled takes its time to end: requests that are being answered are finished first.
DEADLINE_MARGIN_SECONDS = 900.0


def earliest_deadline(manifests: Sequence[str]) -> datetime | None:
    """
    Return the first deadline of some submissions, or ``None`` where none has one.

    :param manifests: URIs of manifest folders.
    """
    plans = [ManifestFolder.at(uri).read_plan() for uri in manifests]
    return min((plan.deadline for plan in plans if plan is not None and plan.deadline), default=None)


def cancel_what_runs(folder: ManifestFolder, hook: ClaudeBatchHook) -> list[str]:
    """
    Cancel the batches of a submission that have not ended.

    Only those that are on record as its own, answered by the API or proven; one that cannot be canceled,
    because it has just ended, is left.

    :return: Batches that were canceled by this call.
    :raises anthropic.APIError: The API cannot be asked.
    """
    from anthropic import BadRequestError, ConflictError

    plan, _ = require_plan(folder)
    canceled = []
    unanswered = {
        batch.batch_id: batch.created_at
        for record in folder.rounds(plan)
        for shard, batch in folder.batches(record)
        if batch is not None and not is_answered(folder, record, shard)
    }
    for batch_id in look_at_batches(hook, unanswered).running:
        if hook.retrieve_batch(batch_id).processing_status != "in_progress":
            continue
        try:
            hook.cancel_batch(batch_id)
        except (BadRequestError, ConflictError):
            continue
        canceled.append(batch_id)
    return canceled
