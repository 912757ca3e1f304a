"""No process of an Airflow outlives it, however it ends."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from demo.airflow_standalone import AirflowStandalone
from demo.process_session import ProcessSession, living
from tests.system.demo_run import REPOSITORY

pytestmark = pytest.mark.airflow

START_AND_WAIT = """
import sys, time
from pathlib import Path
from demo.airflow_standalone import AirflowStandalone
with AirflowStandalone(Path(sys.argv[1]), dags_folder=Path(sys.argv[2])):
    print("healthy", flush=True)
    time.sleep(600)
"""


def living_processes(home: Path) -> list[str]:
    """Return every process that carries the Airflow home ``home`` in its environment or command line."""
    found = []
    for process in psutil.process_iter():
        try:
            seen = [process.environ().get("AIRFLOW_HOME", ""), *process.cmdline()]
            if process.pid != os.getpid() and any(text.startswith(str(home)) for text in seen):
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found


def wait_until_gone(pids: set[int], *, seconds: float) -> set[int]:
    """Return the processes that are still there after at most ``seconds``."""
    deadline = time.monotonic() + seconds
    while (left := living(pids)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


def test_what_a_killed_airflow_leaves_behind_is_ended(airflow: AirflowStandalone, tmp_path: Path):
    home, dags_folder = tmp_path / "home", tmp_path / "dags"
    dags_folder.mkdir()
    with AirflowStandalone(home, dags_folder=dags_folder) as second:
        assert second.url != airflow.url
        assert not second.pids() & airflow.pids()
        pids = second.pids()
        psutil.Process(second.pid).kill()
        assert second.pids() - {second.pid}
    assert living(pids) == set()
    assert living_processes(home) == []
    assert airflow.rest.component_states()["scheduler"] == "healthy"


def test_it_listens_on_the_loopback_interface_only(airflow: AirflowStandalone):
    addresses = set()
    for pid in airflow.pids():
        # A process that parses a Dag file may have ended by now.
        with suppress(psutil.NoSuchProcess):
            for connection in psutil.Process(pid).net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    addresses.add(connection.laddr.ip)
    assert addresses == {"127.0.0.1"}


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path):
    home = tmp_path / "home"
    wrong = {"AIRFLOW__CORE__EXECUTOR": "NoSuchExecutor"}
    with (
        pytest.raises(RuntimeError, match="NoSuchExecutor"),
        AirflowStandalone(home, dags_folder=tmp_path, environment=wrong),
    ):
        pass
    assert living_processes(home) == []


@pytest.mark.proof
def test_airflow_stops_when_its_starter_is_killed(tmp_path: Path):
    home, dags_folder = tmp_path / "home", tmp_path / "dags"
    dags_folder.mkdir()
    starter = ProcessSession(
        [sys.executable, "-c", START_AND_WAIT, str(home), str(dags_folder)],
        environment=dict(os.environ),
        folder=REPOSITORY,
        log_path=tmp_path / "starter.log",
    )
    while starter.exit_code is None and "healthy" not in starter.last_lines(5):
        time.sleep(0.5)
    pids = {process.pid for process in psutil.Process(starter.pid).children(recursive=True)}
    assert len(pids) > 5
    psutil.Process(starter.pid).kill()
    left = wait_until_gone(pids, seconds=90)
    starter.stop(grace_seconds=1)
    assert not left
    assert living_processes(home) == []
