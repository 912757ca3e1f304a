"""Runs of the crash test Dag: how they are started, and what they must have come to, whatever happened."""

import json
import os
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import pyarrow.parquet as pq

from airflow_provider_claude_batch.emulator import Emulator
from demo.airflow_rest import FINISHED_RUN_STATES
from demo.process_session import living
from tests.system import waiting
from tests.system.crashes.crash_airflow import CrashAirflow

DAG_ID = "crash_submit"
ROWS = 6

#: On the S3 server that the Airflow knows.
BUCKET = "crash-lake"

wait_until = partial(waiting.wait_until, timeout=90)

#: What a run is asked: see ``tests/system/dags/kill_points.py``.
Point = Mapping[str, str | int]


def kill(point: str, *, task: str = "submit", map_index: int = 0) -> Point:
    """Return the order to kill a task's process at a point."""
    return {"task": task, "map_index": map_index, "point": point, "signal": "SIGKILL"}


def stop(point: str, *, task: str = "submit", map_index: int = 0) -> Point:
    """Return the order to stop a task's process and its supervisor at a point."""
    return {"task": task, "map_index": map_index, "point": point, "signal": "SIGSTOP"}


@dataclass
class CrashRun:
    """
    One run of the Dag.

    :param label: In the text of each of its rows, and in no other run's.
    :param folder: Takes marks, staging and destination.
    :param points: What was ordered, in order.
    """

    lab: "CrashLab"
    dag_id: str
    run_id: str
    label: str
    folder: Path
    points: Sequence[Point] = ()

    @property
    def state(self) -> str:
        """State of the Dag run at this moment."""
        query = "select state from dag_run where dag_id = %s and run_id = %s"
        return self.lab.airflow.metadata_rows(query, (self.dag_id, self.run_id))[0][0]

    @property
    def task_states(self) -> dict[str, str | None]:
        """State of each task at this moment; of one that is mapped, of its last instance."""
        query = "select task_id, state from task_instance where dag_id = %s and run_id = %s"
        return dict(self.lab.airflow.metadata_rows(query, (self.dag_id, self.run_id)))

    @property
    def tries(self) -> dict[str, int]:
        """Number of the last try of each task."""
        query = "select task_id, try_number from task_instance where dag_id = %s and run_id = %s"
        return dict(self.lab.airflow.metadata_rows(query, (self.dag_id, self.run_id)))

    def clear(self, *task_ids: str) -> None:
        """Clear tasks of the run."""
        self.lab.airflow.clear(self.dag_id, self.run_id, list(task_ids))

    def reached(self) -> list[bool]:
        """Return for each point whether it was reached."""
        return [(self.folder / "marks" / str(index)).exists() for index in range(len(self.points))]

    def stopped(self) -> list[dict[str, int]]:
        """Return the process that reached each point, and its supervisor."""
        return [
            json.loads(mark.read_text())
            for index in range(len(self.points))
            if (mark := self.folder / "marks" / str(index)).exists()
        ]

    def steps(self, task_id: str) -> int:
        """Return the steps of the process that worked longest on a task, where they were counted."""
        paths = (self.folder / "marks").glob(f"steps-{task_id}-*")
        return max(int(path.read_text()) for path in paths)

    def accepted(self) -> Counter[str]:
        """Return how often the request of each text was accepted, in whichever batch."""
        return self.lab.accepted(self.label)

    def published(self, name: str = "data.parquet") -> list[tuple[int, str]]:
        """Return key and outcome of each published row."""
        path = self.folder / "out" / name
        if not path.exists():
            return []
        rows = pq.read_table(path, columns=["id", "claude_outcome"]).to_pylist()
        return sorted((row["id"], row["claude_outcome"]) for row in rows)

    def problems(self, *, must_reach: bool = True, paid: Collection[str] | None = None) -> list[str]:
        """
        Return what is wrong with a run that has ended, in sentences.

        :param paid: Texts whose requests were to be accepted, each one time; the rows' own by default.
        """
        found = []
        rows = self.lab.rows(self.label)
        if self.state != "success":
            found.append(f"the run is {self.state}: {self.task_states}\n{self.lab.log_tails(self)}")
        accepted = self.accepted()
        if accepted != Counter(rows.values() if paid is None else paid):
            found.append(f"requests accepted: {dict(sorted(accepted.items()))}")
        if self.published() != [(row, "ok") for row in sorted(rows)]:
            found.append(f"published: {self.published()}")
        if must_reach and not all(self.reached()):
            found.append(f"points reached: {list(zip(self.points, self.reached(), strict=True))}")
        return found


@dataclass
class CrashLab:
    """
    An Airflow that runs the crash test Dag, and the batches that its runs have made.

    :param states: State folders of the emulators that a run may send to.
    :param folder: Takes the files of the runs, and the table of their rows.
    """

    airflow: CrashAirflow
    states: list[Path]
    folder: Path
    runs: list[CrashRun] = field(default_factory=list)

    def prepare(self, *dag_ids: str) -> Self:
        """Make the table of the rows, wait for the Dags and let their runs start."""
        with self._database() as database:
            database.execute("create table inputs (label text, id integer, body text)")
        self.airflow.add_connection("rows", conn_type="sqlite", host=str(self._database_path))
        for dag_id in dag_ids:
            self.airflow.rest.wait_for_dag(dag_id)
            self.airflow.rest.unpause(dag_id)
        return self

    def start(
        self,
        *points: Point,
        rows: int = ROWS,
        emulator: Emulator | None = None,
        extra: Mapping[str, object] | None = None,
        dag_id: str = DAG_ID,
        is_on_s3: bool = False,
        **params: Any,
    ) -> CrashRun:
        """
        Start a run with rows and points of its own.

        :param emulator: What it sends to, if not to the emulator of all runs.
        :param extra: Of the connection to that emulator.
        :param is_on_s3: Its manifest folder is.
        :param params: Further params of the Dag.
        """
        label = f"run-{len(self.runs):04d}"
        folder = self.folder / label
        (folder / "marks").mkdir(parents=True)
        self.write_rows(label, {number: f"<{label} {number}>" for number in range(1, rows + 1)})
        if emulator is not None:
            self._connect(label, emulator, extra or {})
            params["claude_conn_id"] = label
        if is_on_s3:
            params["staging"] = f"s3://{BUCKET}/{label}"
        run = CrashRun(self, dag_id, label, label, folder, points)
        self.runs.append(run)
        self._trigger(run, **params)
        return run

    def start_again(self, run: CrashRun) -> CrashRun:
        """Start a run under the id of one that was deleted, with what that one was given."""
        query = "select conf from dag_run where dag_id = %s and run_id = %s"
        ((conf,),) = self.airflow.metadata_rows(query, (run.dag_id, run.run_id))
        self.airflow.delete_run(run.dag_id, run.run_id)
        self.airflow.trigger(run.dag_id, conf, run_id=run.run_id)
        return run

    def wait(self, runs: Iterable[CrashRun], *, timeout: float = 300) -> None:
        """Wait until the runs have ended; one that has not in time is seen by its state."""
        left = list(runs)
        deadline = time.monotonic() + timeout
        while left and time.monotonic() < deadline:
            time.sleep(1)
            states = dict(self.airflow.metadata_rows("select run_id, state from dag_run"))
            left = [run for run in left if states[run.run_id] not in FINISHED_RUN_STATES]

    def rows(self, label: str) -> dict[int, str]:
        """Return the rows that the query of a run finds."""
        with self._database() as database:
            return dict(database.execute("select id, body from inputs where label = ?", (label,)).fetchall())

    def write_rows(self, label: str, rows: Mapping[int, str]) -> None:
        """Let the query of a run find these rows and no others."""
        with self._database() as database:
            database.execute("delete from inputs where label = ?", (label,))
            database.executemany(
                "insert into inputs values (?, ?, ?)", [(label, key, text) for key, text in rows.items()]
            )

    def accepted(self, label: str) -> Counter[str]:
        """Return how often the request of each text of a run was accepted by any emulator."""
        text = re.compile(rf"<{label} [^>]*>")
        return Counter(
            found
            for state in self.states
            for path in state.glob("batches/*/requests.jsonl")
            for found in text.findall(path.read_text())
        )

    def log_tails(self, run: CrashRun, *, lines: int = 12) -> str:
        """Return the end of every log of a run's tasks."""
        folder = self.airflow.home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"
        texts = []
        for path in sorted(folder.rglob("attempt=*.log")):
            tail = [_event(line) for line in path.read_text().splitlines()[-lines:]]
            texts.append("\n".join([f"-- {path.relative_to(folder)}:", *tail]))
        return "\n".join(texts)

    def _trigger(self, run: CrashRun, **params: Any) -> None:
        given = {
            "label": run.label,
            "staging": str(run.folder / "staging"),
            "destination": str(run.folder / "out"),
            "marks": str(run.folder / "marks"),
            "points": list(run.points),
        }
        self.airflow.trigger(run.dag_id, {**given, **params}, run_id=run.run_id)

    def _connect(self, name: str, emulator: Emulator, extra: Mapping[str, object]) -> None:
        if emulator.state not in self.states:
            self.states.append(emulator.state)
        fields = json.loads(emulator.connection_json)
        self.airflow.add_connection(name, **fields, extra=json.dumps(extra))

    @property
    def _database_path(self) -> Path:
        return self.folder / "rows.sqlite"

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Open the table of the rows of every run, for one transaction."""
        with closing(sqlite3.connect(self._database_path, timeout=30)) as database, database:
            yield database


def _event(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return line
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in record.get("error_detail") or ()]
    return " | ".join([str(record.get("event", "")), *errors])


def go_on(runs: Iterable[CrashRun]) -> None:
    """Let processes that stopped go on, and only after them their supervisors, and wait for their end."""
    stopped = [pids for run in runs for pids in run.stopped()]
    for name in ("pid", "parent"):
        for pids in stopped:
            with suppress(ProcessLookupError):
                os.kill(pids[name], signal.SIGCONT)
        # A supervisor that goes on at once may end its task before that has done what it can.
        time.sleep(3)
    wait_until(lambda: not living(pids["pid"] for pids in stopped), what="the stopped tasks end")
