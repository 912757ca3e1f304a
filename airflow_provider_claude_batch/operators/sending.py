"""How a submit task sends a plan: its own or another task's, and what is told of it on the way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import (
    ClaudeBatchInputError,
    CostCapReachedError,
    PilotFailedError,
    PlanMissingError,
)
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.operators.admitting import to_admit
from airflow_provider_claude_batch.operators.destinations import check_destinations
from airflow_provider_claude_batch.operators.planning import log_sent
from airflow_provider_claude_batch.submission.counting import count_in_progress, count_sent
from airflow_provider_claude_batch.submission.deployment import send_rules
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.reference import (
    SubmissionReference,
    read_reference,
    to_references,
)
from airflow_provider_claude_batch.submission.send import send_shards
from airflow_provider_claude_batch.submission.unpublished import tell_unpublished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

    from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
    from airflow_provider_claude_batch.submission.send import SentShard


def open_plan(
    asked: ClaudeBatchSubmitOperator, manifest: str | None
) -> tuple[ManifestFolder, ClaudeBatchHook]:
    """
    Open what another task planned, with the connection that it was planned for.

    :param manifest: Of the plan that a wait has interrupted.
    :raises PlanMissingError: The task that plans has no output now.
    :raises ClaudeBatchInputError: There is more than one plan.
    """
    references = to_references(manifest or asked.submission)
    if not references:
        raise PlanMissingError(
            "The task that plans has no output now. Nothing was sent; a retry looks again."
        )
    if len(references) != 1 or asked.plan_only:
        raise ClaudeBatchInputError(
            f"submission holds {len(references)} plans: give one, and not plan_only. Nothing was sent."
        )
    return ManifestFolder.at(references[0].manifest), ClaudeBatchHook(references[0].claude_conn_id)


def send_plan(
    asked: ClaudeBatchSubmitOperator, folder: ManifestFolder, hook: ClaudeBatchHook, context: Context
) -> Iterator[SentShard | Pause]:
    """
    Send what can be sent of a plan; yields each shard that is a batch, and last a pause where one is needed.

    Logs and counts each batch.

    :raises DestinationError: A load downstream could not write its dataset.
    """
    plan, first_round = require_plan(folder)
    if plan.row_count:
        check_destinations(asked, context)
    ti, rules = context["ti"], send_rules(hook)
    steps = send_shards(
        folder,
        plan,
        first_round,
        hook,
        rules=rules,
        try_number=ti.try_number,
        clock=lambda: datetime.now(UTC),
        admit=to_admit(asked, folder, plan, hook, dag_id=ti.dag_id),
    )
    try:
        for step in steps:
            if not isinstance(step, Pause):
                log_sent(asked, step, shard_count=len(first_round.shards))
                count_sent(ti, step, max_queued_requests=rules.max_queued_requests)
            yield step
    except (CostCapReachedError, PilotFailedError):
        # What was answered is paid for, and no load will come.
        tell_unpublished(folder, plan, ti=ti, is_published=False)
        raise


def push_reference(folder: ManifestFolder, context: Context) -> dict[str, object]:
    """Push what other tasks look for by name, and return what names the submission."""
    ti = context["ti"]
    reference: SubmissionReference = read_reference(folder.uri)
    count_in_progress(ti, folder)
    ti.xcom_push(key="manifest", value=reference.manifest)
    ti.xcom_push(key="batch_ids", value=list(reference.batch_ids))
    if estimate := folder.read_estimate():
        ti.xcom_push(key="estimate", value=estimate.text)
    return reference.to_xcom()
