"""Submit, wait and load in one call, also once for each of several partitions."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from airflow.sdk import task_group

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import BaseOperator, TaskGroup, XComArg

_OPERATORS = (ClaudeBatchSubmitOperator, ClaudeBatchSensor, ClaudeBatchToParquetOperator)

#: Arguments of the submit task that are the other tasks' too; what else it takes, they have from it.
_SHARED = frozenset({"deferrable", "poll_interval"})


class Pipeline(NamedTuple):
    """
    Tasks that were made in one call: ``start >> labels.group >> end``, and ``count_rows(labels.output)``.

    :param group: The task group.
    :param output: What the load returns; of a mapped group the sequence of what its loads return.
    """

    group: TaskGroup
    output: XComArg


def claude_batch_pipeline(
    *,
    group_id: str = "claude_batch",
    destination: str = "",
    expand: Mapping[str, object] | None = None,
    outlets: Sequence[object] = (),
    default_args: Mapping[str, object] | None = None,
    **arguments: Any,
) -> Pipeline:
    """
    Make a task group of three tasks, ``submit``, ``wait`` and ``load``.

    A retry or a *clear* of one of them does what its operator says.

    .. code-block:: python

        labels = claude_batch_pipeline(
            group_id="labels",
            sql_conn_id="warehouse",
            sql="select review_id, body from reviews where day = '{{ ds }}'",
            key="review_id",
            prompt="Classify this review: {body}",
            model="claude-haiku-5-5",
            max_tokens=512,
            destination="s3://lake/review_labels/ds={{ ds }}/",
            max_error_rate=0.02,
        )

    With ``expand``, a mapped group: three tasks for each value, such as each partition. All of them may write
    into one folder, where each has its ``data-NNNNN.parquet``.

    .. code-block:: python

        claude_batch_pipeline(
            group_id="labels",
            sql="select review_id, body from reviews where lang = %(lang)s",
            expand={"parameters": [{"lang": "de"}, {"lang": "fr"}]},
            ...,
        )

    To map several arguments together, call this in a function of one's own that is decorated with
    ``@task_group``, and use that function's ``expand_kwargs``.

    :param group_id: Of the task group; the tasks are ``{group_id}.submit`` and so on.
    :param destination: As the transfer takes it. (templated)
    :param expand: Templated arguments by name with a list of values, or with the output of a task that
        returns a list; of several, all combinations. A value is not rendered as a template.
    :param outlets: Assets that the load updates.
    :param default_args: What is for all three tasks, such as ``retries`` or ``pool``.
    :param arguments: Those of :class:`~.ClaudeBatchSubmitOperator`, :class:`~.ClaudeBatchSensor` and
        :class:`~.ClaudeBatchToParquetOperator`; what several of them take is for all of these. The tasks are
        deferrable unless ``deferrable=False`` is given.
    :raises ClaudeBatchInputError: An argument is none of these, or cannot be mapped.
    """
    given = {"deferrable": True, "destination": destination, **arguments}
    mapped = dict(expand or {})
    check_arguments([*given, *mapped], operators=_OPERATORS)
    _check_mapped(mapped)

    def add_tasks(**arguments: Any) -> None:
        """Send the rows of a query to Claude as Message Batches, and load the answers as Parquet."""
        submit = ClaudeBatchSubmitOperator(
            task_id="submit",
            map_index_template=_names(mapped, ClaudeBatchSubmitOperator),
            **arguments_of(ClaudeBatchSubmitOperator, arguments),
        )
        add_wait_and_load(
            submit,
            arguments,
            outlets=outlets,
            map_index_template=_names(mapped, ClaudeBatchToParquetOperator),
        )

    return make_group(
        add_tasks,
        {name: value for name, value in given.items() if name not in mapped},
        mapped,
        group_id=group_id,
        default_args=default_args,
    )


def make_group(
    add_tasks: Callable[..., None],
    arguments: Mapping[str, object],
    mapped: Mapping[str, Any],
    *,
    group_id: str,
    default_args: Mapping[str, object] | None,
) -> Pipeline:
    """
    Return the group with the tasks that ``add_tasks`` makes, one of which is ``load``.

    :param add_tasks: Makes the tasks from ``arguments``, inside the group.
    :param arguments: The same for each value of ``mapped``.
    :param mapped: Arguments with their values, one group of tasks for each; empty for a group that is not
        mapped.
    :param group_id: Of the task group.
    :param default_args: What is for all its tasks.
    """
    factory = task_group(group_id=group_id, default_args=dict(default_args or {}))(add_tasks)
    node = factory.partial(**arguments).expand(**mapped) if mapped else factory(**arguments)
    group = cast("TaskGroup", node)
    load = cast("BaseOperator", group.get_child_by_label("load"))
    return Pipeline(group, load.output)


def add_wait_and_load(
    submit: ClaudeBatchSubmitOperator,
    arguments: Mapping[str, Any],
    *,
    outlets: Sequence[object],
    map_index_template: str | None = None,
) -> None:
    """
    Add the tasks that wait for what ``submit`` sends and load it.

    :param submit: The task that sends.
    :param arguments: Of the pipeline; each task takes those that are its own.
    :param outlets: Assets that the load updates.
    :param map_index_template: Name of a mapped load in Airflow's views.
    """
    wait = ClaudeBatchSensor(
        task_id="wait", submission=submit.output, **_further(ClaudeBatchSensor, arguments)
    )
    load = ClaudeBatchToParquetOperator(
        task_id="load",
        submission=submit.output,
        outlets=list(outlets),
        map_index_template=map_index_template,
        **_further(ClaudeBatchToParquetOperator, arguments),
    )
    submit >> wait >> load


def arguments_of(operator: type[BaseOperator], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return those of ``arguments`` that an operator's own signature names.

    :param operator: Its class.
    :param arguments: Of a pipeline.
    """
    names = inspect.signature(operator).parameters
    return {name: value for name, value in arguments.items() if name in names}


def check_arguments(names: Sequence[str], *, operators: Sequence[type[BaseOperator]]) -> None:
    """
    Refuse names that no operator's own signature has, what is Airflow's own among them.

    :param names: Of a pipeline's arguments.
    :param operators: Those of the pipeline.
    :raises ClaudeBatchInputError: Names them.
    """
    known = {name for operator in operators for name in inspect.signature(operator).parameters}
    if unknown := [name for name in names if name not in known or name in ("submission", "batch_ids")]:
        raise ClaudeBatchInputError(
            f"{', '.join(unknown)}: no argument of a pipeline. What is for every task, such as retries, goes "
            "into default_args. Nothing was sent."
        )


def _further(operator: type[BaseOperator], arguments: Mapping[str, Any]) -> dict[str, Any]:
    submits = arguments_of(ClaudeBatchSubmitOperator, arguments).keys() - _SHARED
    own = arguments_of(operator, arguments)
    return {name: value for name, value in own.items() if name not in submits}


def _check_mapped(mapped: Mapping[str, object]) -> None:
    templated = {*ClaudeBatchSubmitOperator.template_fields, *ClaudeBatchToParquetOperator.template_fields}
    if fixed := [name for name in mapped if name not in templated]:
        raise ClaudeBatchInputError(
            f"{', '.join(fixed)}: only templated arguments can be mapped. Nothing was sent."
        )


def _names(mapped: Mapping[str, object], operator: type[BaseOperator]) -> str | None:
    """Return the template of the name that a mapped task has in Airflow's views: its own mapped values."""
    own = [name for name in mapped if name in operator.template_fields]
    return ", ".join(f"{{{{ task.{name} }}}}" for name in own) or None
