"""A real Airflow with a database and an emulator, and what can be seen of its triggerer from outside."""

from __future__ import annotations

import json
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg

from airflow_provider_claude_batch.emulator import EmulatorProcess
from bench.submitting.postgres_server import postgres_server
from bench.waiters.batches import create_batches
from demo.airflow_standalone import AirflowStandalone

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAG_FILE = Path(__file__).parent / "dags" / "many_waits.py"
#: How long batches take by themselves, which no measurement does.
BATCH_SECONDS = 80_000.0
_EMULATOR = (f"--seconds-per-batch={BATCH_SECONDS}", "--tier=scale")
_DEFERRED = "select dag_id, task_id from task_instance where state = 'deferred'"
_BATCH_ID = re.compile(r"msgbatch_\w+")


@dataclass(frozen=True, slots=True)
class Load:
    """
    So many waits of one kind, in so many Dags, each for a batch of its own.

    :param kind: See ``dags/many_waits.py``.
    :param spread_seconds: Between the first batch's end and the last's; 0 lets all end at once.
    """

    kind: str
    waits: int
    dags: int
    poll_seconds: float
    spread_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TriggerLog:
    """
    What a trigger has logged; Airflow drops some lines.

    :param batch_id: Which it waits for, if it has named it.
    :param lines: Each with its time in epoch seconds, the oldest first.
    """

    batch_id: str | None
    lines: list[tuple[float, str]]

    def time_of(self, words: str) -> float | None:
        """Return when the first line with these words was logged."""
        return next((at for at, line in self.lines if words in line), None)


@dataclass(frozen=True, slots=True)
class World:
    """
    What runs while a load is measured.

    :param port: Of the PostgreSQL server with Airflow's metadata.
    :param dags_folder: In which ``ended`` is the file that waits for a file wait for.
    :param tasks: The batch of each task, by Dag and task id.
    """

    airflow: AirflowStandalone
    emulator: EmulatorProcess
    port: int
    dags_folder: Path
    tasks: dict[str, dict[str, str]]

    def deferred(self) -> set[tuple[str, str]]:
        """Return Dag and task id of the tasks that are deferred."""
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres") as database:
            return {(dag_id, task_id) for dag_id, task_id in database.execute(_DEFERRED)}

    def looks(self) -> int:
        """Return how often the API was asked about batches."""
        calls = self.emulator.calls
        return calls.count_of("list") + calls.count_of("retrieve")

    def trigger_logs(self) -> list[TriggerLog]:
        """Return the log of every trigger that has started."""
        paths = (self.airflow.home / "logs").rglob("*.trigger.*.log")
        return [log for path in paths if (log := _read(path.read_text())).time_of(" starting")]


@dataclass(frozen=True, slots=True)
class Triggerer:
    """
    The triggerer's processes.

    :param runner: In which the triggers run.
    :param supervisor: Its parent, which reads the database and writes the logs.
    """

    runner: psutil.Process
    supervisor: psutil.Process

    def size(self) -> dict[str, float]:
        """Return descriptors, threads and megabytes at this moment."""
        return {
            "descriptors": self.runner.num_fds(),
            "descriptors of its supervisor": self.supervisor.num_fds(),
            "threads": self.runner.num_threads(),
            "MB": self.runner.memory_info().rss / 1e6,
            "MB of its supervisor": self.supervisor.memory_info().rss / 1e6,
        }

    def cpu_seconds(self) -> float:
        """Return the runner's processor seconds so far."""
        times = self.runner.cpu_times()
        return float(times.user + times.system)


@contextmanager
def running(load: Load, folder: Path) -> Iterator[World]:
    """Start everything, with the batches of a load created and its Dags in place."""
    dags_folder = folder / "dags"
    dags_folder.mkdir()
    shutil.copy(_DAG_FILE, dags_folder)
    with EmulatorProcess(arguments=_EMULATOR) as emulator, postgres_server() as port:
        step = load.spread_seconds / load.waits
        batch_ids = create_batches(emulator.url, load.waits, first_seconds=BATCH_SECONDS, step_seconds=step)
        tasks = _tasks(batch_ids, load.dags)
        waits = {
            "kind": load.kind,
            "tasks": tasks,
            "poll_seconds": load.poll_seconds,
            "began": time.time(),
        }
        (dags_folder / "waits.json").write_text(json.dumps(waits))
        environment = {
            "AIRFLOW_CONN_ANTHROPIC_DEFAULT": emulator.connection_json,
            "AIRFLOW_CONN_LLM": _llm_connection(emulator),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": (
                f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
            ),
        }
        with AirflowStandalone(folder / "home", dags_folder=dags_folder, environment=environment) as airflow:
            yield World(airflow, emulator, port, dags_folder, tasks)


def _tasks(batch_ids: list[str], dags: int) -> dict[str, dict[str, str]]:
    """Deal the batches out to the tasks of so many Dags, to each Dag in turn."""
    return {
        f"waits_{index:02d}": {
            f"wait_{number:03d}": batch_id for number, batch_id in enumerate(batch_ids[index::dags])
        }
        for index in range(dags)
    }


def find_triggerer(airflow: AirflowStandalone) -> Triggerer:
    """Find the two processes; the runner is a fork and has the supervisor's command line."""
    (supervisor,) = _triggerers(psutil.Process(airflow.pid))
    (runner,) = _triggerers(supervisor)
    return Triggerer(runner, supervisor)


def _triggerers(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children() if child.cmdline()[-1:] == ["triggerer"]]


def _read(text: str) -> TriggerLog:
    # The last line may be half written.
    whole = text[: text.rfind("\n") + 1].splitlines()
    lines = [(datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp(), line) for line in whole]
    named = _BATCH_ID.search(text)
    return TriggerLog(named and named.group(), lines)


def _llm_connection(emulator: EmulatorProcess) -> str:
    fields = json.loads(emulator.connection_json)
    return json.dumps({**fields, "conn_type": "pydanticai", "extra": {"model": "anthropic:claude-haiku-5-5"}})
