"""The destinations of the loads after a submit task, looked at before anything is paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from airflow.providers.common.compat.sdk import AirflowException
from jinja2 import UndefinedError

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context


@runtime_checkable
class ChecksDestination(Protocol):
    """A task that can say before anything is paid for that its results could not be written."""

    def check_destination(self, context: Context) -> None:
        """Raise where the destination cannot be written."""


def check_destinations(submit: BaseOperator, context: Context) -> None:
    """
    Check the destination of every task that loads what ``submit`` sends.

    One that cannot be known yet, since it takes from a task in between, is left to its own task.

    :raises DestinationError: A destination cannot be written.
    """
    for task in submit.get_flat_relatives(upstream=False):
        if isinstance(task, ChecksDestination) and _takes_output_of(task, submit.task_id):
            try:
                task.check_destination(context)
            except (UndefinedError, AirflowException) as error:
                submit.log.info("The destination of %s is not known yet: %s", task, type(error).__name__)


def _takes_output_of(task: object, task_id: str) -> bool:
    operator = getattr(getattr(task, "submission", None), "operator", None)
    return getattr(operator, "task_id", None) == task_id
