"""The death of a triggerer, and another one in its place."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from demo.airflow_standalone import AirflowStandalone

_HEALTHY_SECONDS = 120


def replace_triggerer(airflow: AirflowStandalone) -> None:
    """
    Kill the triggerer with all its processes, and start another with the same command and environment.

    :raises TimeoutError: The other one does not come up.
    """
    triggerer = _find(airflow)
    command, environment, folder = triggerer.cmdline(), triggerer.environ(), triggerer.cwd()
    for process in (triggerer, *triggerer.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    with airflow.log_path.open("ab") as log:
        # It inherits the mark by which everything of this Airflow is found and stopped in the end.
        psutil.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + _HEALTHY_SECONDS
    while not _is_replaced(airflow, triggerer.pid):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no new triggerer after {_HEALTHY_SECONDS} s; see {airflow.log_path}")
        time.sleep(0.5)


def _is_replaced(airflow: AirflowStandalone, old_pid: int) -> bool:
    with suppress(LookupError):
        return _find(airflow).pid != old_pid
    return False


def _find(airflow: AirflowStandalone) -> psutil.Process:
    for pid in sorted(airflow.pids()):
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.cmdline()[-1:] == ["triggerer"]:
                return process
    raise LookupError(f"no triggerer runs; see {airflow.log_path}")
