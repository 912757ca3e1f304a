"""Batches that are sent when a person has seen what they will cost, and agreed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.task_groups.pipeline import (
    Pipeline,
    add_wait_and_load,
    arguments_of,
    check_arguments,
    make_group,
)
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OPERATORS = (ClaudeBatchSubmitOperator, ClaudeBatchSensor, ClaudeBatchToParquetOperator)

#: Arguments of a submit task that count when it sends what another has planned.
_SENDING = (
    "max_cost_usd",
    "pilot_max_error_rate",
    "deferrable",
    "poll_interval",
    "cancel_on_kill",
    "estimate",
)

_BODY = """\
{{%- set of = {{"task_ids": "{plan}", "map_indexes": ti.map_index}} -%}}
{{{{ ti.xcom_pull(key="estimate", **of) or "There is no estimate: the log of the plan says why." }}}}

Nothing was sent yet, and after a rejection nothing is.

The plan is in `{{{{ ti.xcom_pull(key="manifest", **of) }}}}`.
"""


def claude_batch_with_approval(
    *,
    group_id: str = "claude_batch",
    destination: str = "",
    subject: str = "Send the requests of {{ dag.dag_id }} to Claude?",
    approval: Mapping[str, Any] | None = None,
    outlets: Sequence[object] = (),
    default_args: Mapping[str, object] | None = None,
    **arguments: Any,
) -> Pipeline:
    """
    Make a task group of five tasks: ``plan``, ``approve``, ``submit``, ``wait`` and ``load``.

    The first takes the snapshot, checks it and estimates what it costs, which is free. The second is
    Airflow's own ``ApprovalOperator`` with the estimate in its text; it holds no worker. Approved, the shards
    of the plan are sent as they are: what a person has seen is what is paid for, and the query is not run
    again. Rejected, the tasks after it are skipped.

    A retry or a *clear* of one of them does what its operator says. A *clear* of ``plan`` makes another plan,
    which has to be approved.

    :param group_id: Of the task group; the tasks are ``{group_id}.plan`` and so on.
    :param destination: As the transfer takes it. (templated)
    :param subject: Headline of the question. (templated)
    :param approval: Further arguments of the ``ApprovalOperator``, such as ``assigned_users``, ``notifiers``,
        or ``response_timeout`` with ``defaults="Reject"``.
    :param outlets: Assets that the load updates.
    :param default_args: What is for all tasks, such as ``retries`` or ``pool``.
    :param arguments: As :func:`~.pipeline.claude_batch_pipeline` takes them, but for ``plan_only`` and
        ``expand``: each plan has an approval of its own.
    :raises ClaudeBatchInputError: An argument is none of these.
    """
    if "plan_only" in arguments:
        raise ClaudeBatchInputError("plan_only: what is approved is sent. Nothing was sent.")
    given = {"deferrable": True, "destination": destination, **arguments}
    check_arguments([*given], operators=_OPERATORS)

    def add_tasks(**arguments: Any) -> None:
        """Plan Message Batches, ask whether to send them, and load the answers as Parquet."""
        asked = arguments_of(ClaudeBatchSubmitOperator, arguments)
        plan = ClaudeBatchSubmitOperator(task_id="plan", **{**asked, "plan_only": True})
        body = _BODY.format(plan=plan.task_id)
        approve = ApprovalOperator(
            task_id="approve", **{"subject": subject, "body": body, **(approval or {})}
        )
        submit = ClaudeBatchSubmitOperator(
            task_id="submit",
            submission=plan.output,
            **{name: asked[name] for name in _SENDING if name in asked},
        )
        plan >> approve >> submit
        add_wait_and_load(submit, arguments, outlets=outlets)

    return make_group(add_tasks, given, {}, group_id=group_id, default_args=default_args)
