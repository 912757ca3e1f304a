"""A real Airflow whose triggerer holds many waits of one kind."""

from __future__ import annotations

import json
import shutil
import statistics
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
    from collections.abc import Callable, Iterator

_DAG_FILE = Path(__file__).parent / "dags" / "many_waits.py"
_EMULATOR = ("--seconds-per-batch=86000", "--tier=scale")
_DAY = 86_400
_TICKS = 3
_TIMEOUT_SECONDS = 900
_LOOK_SECONDS = 0.25
_DEFERRED = "select count(*) from task_instance where state = 'deferred'"
_STARTED = " starting"
#: What triggers log when their wait is over: ours, Airflow's for a file, and Airflow itself for all.
_LINES = {"seen ended": " is ended, ", "seen the file": "Found File", "fired": "Trigger fired event"}


@dataclass(frozen=True, slots=True)
class Load:
    """
    So many waits of one kind, in so many Dags, each for a batch of its own.

    :param kind: See ``dags/many_waits.py``.
    """

    kind: str
    waits: int
    dags: int
    poll_seconds: float


@dataclass(frozen=True, slots=True)
class World:
    """
    What runs while a load is measured.

    :param port: Of the PostgreSQL server with Airflow's metadata.
    """

    airflow: AirflowStandalone
    emulator: EmulatorProcess
    port: int

    def deferred(self) -> int:
        """Return how many tasks are deferred."""
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres") as database:
            found = database.execute(_DEFERRED).fetchone()
        return int(found[0]) if found else 0

    def looks(self) -> int:
        """Return how often the API was asked about batches."""
        calls = self.emulator.calls
        return calls.count_of("list") + calls.count_of("retrieve")

    def started(self) -> int:
        """Return how many triggers have started, as Airflow has logged it."""
        paths = (self.airflow.home / "logs").rglob("*.trigger.*.log")
        return sum(_STARTED in path.read_text() for path in paths)

    def logged(self, what: str) -> list[float]:
        """Return when the triggers logged a line with these words, in epoch seconds; Airflow drops some."""
        lines = [
            json.loads(line)
            for path in (self.airflow.home / "logs").rglob("*.trigger.*.log")
            for line in path.read_text().splitlines()
            if what in line
        ]
        return [datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines]


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


def measure_triggerer(load: Load, folder: Path) -> dict[str, float]:
    """Start an Airflow, defer its tasks, and measure its triggerer while they wait and when batches end."""
    with _running(load, folder) as world:
        triggerer = _find_triggerer(world.airflow)
        idle = triggerer.size()
        _defer_all(load, world)
        time.sleep(load.poll_seconds)
        measured = _watch(load, world, triggerer, idle)
        return measured | _end_all(load, world, folder)


@contextmanager
def _running(load: Load, folder: Path) -> Iterator[World]:
    dags_folder = folder / "dags"
    dags_folder.mkdir()
    shutil.copy(_DAG_FILE, dags_folder)
    with EmulatorProcess(arguments=_EMULATOR) as emulator, postgres_server() as port:
        waits = {
            "kind": load.kind,
            "per_dag": load.waits // load.dags,
            "dags": load.dags,
            "batch_ids": create_batches(emulator.url, load.waits),
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
            yield World(airflow, emulator, port)


def _defer_all(load: Load, world: World) -> None:
    for index in range(load.dags):
        dag_id = f"waits_{index:02d}"
        world.airflow.rest.wait_for_dag(dag_id)
        world.airflow.rest.trigger(dag_id)
    _wait_until(lambda: world.deferred() == load.waits, "every task is deferred")
    # A trigger without a worker before it brings its whole Dag, which the triggerer reads for each of them.
    _wait_until(lambda: world.started() == load.waits, "the triggerer has started them all")


def _watch(load: Load, world: World, triggerer: Triggerer, idle: dict[str, float]) -> dict[str, float]:
    """Return calls and processor time a tick, and the most that the triggerer takes beyond its idle state."""
    looks, cpu, began = world.looks(), triggerer.cpu_seconds(), time.monotonic()
    sizes = []
    while time.monotonic() - began < _TICKS * load.poll_seconds:
        sizes.append(triggerer.size())
        time.sleep(_LOOK_SECONDS)
    ticks = (time.monotonic() - began) / load.poll_seconds
    most = {name: max(size[name] for size in sizes) for name in idle}
    return {
        "calls a tick": (world.looks() - looks) / ticks,
        "processor seconds a tick": (triggerer.cpu_seconds() - cpu) / ticks,
        **{f"{name}, above {idle[name]:,.0f} idle": most[name] - idle[name] for name in idle},
    }


def _end_all(load: Load, world: World, folder: Path) -> dict[str, float]:
    """Let all batches end, and return how long after that the triggers fired and the tasks went on."""
    world.emulator.advance(_DAY)
    (folder / "dags" / "ended").touch()
    ended, began = time.time(), time.monotonic()
    _wait_until(lambda: not world.deferred(), "no task is deferred", pause=0.25)
    went_on = time.monotonic() - began
    measured = {
        "seconds until all tasks go on": went_on,
        "events a second": load.waits / went_on,
        "cancels": float(world.emulator.calls.count_of("cancel")),
    }
    for what, words in _LINES.items():
        if delays := [logged_at - ended for logged_at in world.logged(words)]:
            measured |= {
                f"{what}, lines": float(len(delays)),
                f"{what}, seconds from the end, first": min(delays),
                f"{what}, seconds from the end, median": statistics.median(delays),
                f"{what}, seconds from the end, last": max(delays),
            }
    return measured


def _find_triggerer(airflow: AirflowStandalone) -> Triggerer:
    """Find the two processes; the runner is a fork and has the supervisor's command line."""
    (supervisor,) = _triggerers(psutil.Process(airflow.pid))
    (runner,) = _triggerers(supervisor)
    return Triggerer(runner, supervisor)


def _triggerers(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children() if child.cmdline()[-1:] == ["triggerer"]]


def _wait_until(holds: Callable[[], bool], what: str, *, pause: float = 1.0) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_TIMEOUT_SECONDS} s: {what}")
        time.sleep(pause)


def _llm_connection(emulator: EmulatorProcess) -> str:
    fields = json.loads(emulator.connection_json)
    return json.dumps({**fields, "conn_type": "pydanticai", "extra": {"model": "anthropic:claude-haiku-5-5"}})
