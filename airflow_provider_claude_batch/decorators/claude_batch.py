"""``@task.claude_batch``: a submit task whose rows a function makes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from airflow.providers.common.compat.sdk import determine_kwargs
from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator

#: Arguments of the operator that say where the rows come from.
_SOURCES = ("sql", "sql_conn_id", "parameters", "source_path", "row_filter", "submission")


class ClaudeBatchDecoratedOperator(DecoratedOperator, ClaudeBatchSubmitOperator):
    """
    Send the rows that a function returns or yields to Claude, as :class:`~.ClaudeBatchSubmitOperator` does.

    The function is called once, when the snapshot is taken. A retry that finds the snapshot does not call it,
    nor does the task when it comes back from a wait; a *clear* of the finished task does.

    :param python_callable: Returns dicts in any iterable, a pandas DataFrame or an Arrow table, or yields
        dicts, of which a few thousand at a time are in memory.
    :param op_args: Positional arguments of the function. (templated)
    :param op_kwargs: Keyword arguments of the function. (templated)
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in ClaudeBatchSubmitOperator.template_fields if name not in _SOURCES),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **{
            name: kind
            for name, kind in ClaudeBatchSubmitOperator.template_fields_renderers.items()
            if name not in _SOURCES
        },
    }
    custom_operator_name = "@task.claude_batch"

    def __init__(self, **kwargs: Any) -> None:
        if refused := [name for name in _SOURCES if name in kwargs]:
            raise ClaudeBatchInputError(f"{', '.join(refused)}: the decorated function makes the rows.")
        super().__init__(**kwargs)

    def make_rows(self, context: Context) -> object:
        """Call the function with its arguments and what it asks for of the task's context."""
        given = determine_kwargs(self.python_callable, self.op_args, {**context, **self.op_kwargs})
        return self.python_callable(*self.op_args, **given)

    def rows_on_record(self) -> list[object]:
        """Return the function's text and its arguments; of an argument that is no plain value, its type."""
        text: Callable[[], str] = self.get_python_source
        try:
            source = text()
        except (OSError, TypeError):
            source = _name_of(type(self.python_callable))
        arguments = json.dumps([*self.op_args, dict(self.op_kwargs)], default=_to_json, skipkeys=True)
        return [source, arguments]


def claude_batch_task(python_callable: Callable[..., object] | None = None, **kwargs: Any) -> TaskDecorator:
    """
    Make a submit task of a function that makes rows: ``@task.claude_batch(...)``.

    A retry goes on with the rows of the first call, see :class:`.ClaudeBatchDecoratedOperator`.

    .. code-block:: python

        @task.claude_batch(key="id", prompt="Who would use this: {summary}", model=..., max_tokens=256)
        def packages(names: list[str]):
            for number, name in enumerate(names):
                yield {"id": number, "summary": metadata(name)["Summary"]}


        submit = packages(["numpy", "polars"])
        wait = ClaudeBatchSensor(task_id="wait", submission=submit)

    :param python_callable: The function; arguments may be the outputs of other tasks.
    :param kwargs: Arguments of :class:`~.ClaudeBatchSubmitOperator`, but for ``sql``, ``source_path``,
        ``submission`` and what goes with them.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=False,
        decorated_operator_class=ClaudeBatchDecoratedOperator,
        **kwargs,
    )


def _to_json(value: object) -> object:
    try:
        return msgspec.to_builtins(value, order="sorted", str_keys=True)
    except TypeError:
        return _name_of(type(value))


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
