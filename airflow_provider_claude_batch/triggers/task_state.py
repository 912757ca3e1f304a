"""
Whether a person has failed a task: the only reason for which a kill may cancel what the task has paid for.

Airflow calls ``on_kill`` for a pod that is shut down, for a wait that another triggerer has taken over and
for a *clear* too. Then the task's state says so, and where it cannot be read, nothing is canceled.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk.execution_time.comms import GetTaskStates

#: Seconds that a worker which is being killed waits for the answer.
_SECONDS_TO_ANSWER = 4.0


class TaskInstanceNames(Protocol):
    """What names a task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None


async def was_failed_by_a_person(ti: TaskInstanceNames) -> bool:
    """Ask from a triggerer."""
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    return _is_failed(ti, await SUPERVISOR_COMMS.asend(_question(ti)))


def was_failed_by_a_person_sync(ti: TaskInstanceNames) -> bool:
    """
    Ask from a worker, in a signal handler: no longer than a few seconds, for the kill does not wait.
    """
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    found: list[bool] = []
    _run_briefly(lambda: found.append(_is_failed(ti, SUPERVISOR_COMMS.send(_question(ti)))))
    return bool(found) and found[0]


def _question(ti: TaskInstanceNames) -> GetTaskStates:
    from airflow.sdk.execution_time.comms import GetTaskStates

    return GetTaskStates(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=_map_index(ti)
    )


def _map_index(ti: TaskInstanceNames) -> int | None:
    return ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None


def _is_failed(ti: TaskInstanceNames, answer: object) -> bool:
    states = getattr(answer, "task_states", {}).get(ti.run_id, {})
    index = _map_index(ti)
    name = ti.task_id if index is None else f"{ti.task_id}_{index}"
    return str(states.get(name)) == "failed"


def _run_briefly(work: Callable[[], None]) -> None:
    """Run in a thread: the signal may have struck while this one holds the line to the supervisor."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_SECONDS_TO_ANSWER)
