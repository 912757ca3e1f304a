"""What a kill of a submit task does to its batches: nothing, unless a person has failed the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.triggers.task_state import was_failed_by_a_person_sync

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import BaseOperator

    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.triggers.task_state import TaskInstanceNames


def cancel_after_kill(
    operator: BaseOperator, hook: ClaudeBatchHook, ti: TaskInstanceNames, batch_ids: Sequence[str]
) -> None:
    """
    Cancel batches in the signal handler of a worker that is being killed.

    :param batch_ids: As the API's own answers named them.
    """
    from anthropic import APIError

    if not batch_ids or not was_failed_by_a_person_sync(ti):
        operator.log.info("No person has failed the task: its batches go on.")
        return
    for batch_id in batch_ids:
        try:
            hook.cancel_batch(batch_id)
            operator.log.info("Batch %s is canceled, since a person has failed the task.", batch_id)
        except APIError as error:
            operator.log.warning("Batch %s is not canceled (%s).", batch_id, type(error).__name__)
