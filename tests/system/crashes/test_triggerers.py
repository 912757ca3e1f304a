"""A hundred waits outlive the triggerer that holds them, and each ends once."""

import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from airflow_provider_claude_batch.emulator import Emulator
from tests.system.crashes.conftest import DAGS
from tests.system.crashes.crash_airflow import CrashAirflow, send_signal
from tests.system.crashes.crash_lab import CrashLab, wait_until
from tests.system.waiting import HOURS, add_connection, create_batch

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

WAITS = 100
DAG_ID = "wait_for_each"

#: What the sensor writes to its log, in the worker, when its trigger has reported the end.
RESUMED = "All 1 batches have ended."


@dataclass
class ManyWaits:
    """One run whose mapped sensor waits for many batches, one each."""

    airflow: CrashAirflow
    emulator: Emulator
    run_id: str

    def states(self) -> Counter[tuple[str | None, int]]:
        """Return how many instances of the sensor are in which state of which try."""
        query = "select state, try_number from task_instance where run_id = %s and task_id = 'wait'"
        return Counter(self.airflow.metadata_rows(query, (self.run_id,)))

    def triggerers(self) -> Counter[int]:
        """Return how many of the waits each triggerer holds."""
        query = (
            "select triggerer_id from trigger join task_instance on trigger_id = trigger.id "
            "where run_id = %s and triggerer_id is not null"
        )
        return Counter(row[0] for row in self.airflow.metadata_rows(query, (self.run_id,)))

    def are_held_by_others_than(self, triggerers: set[int]) -> bool:
        """Return whether every wait is held, and none by these triggerers."""
        held = self.triggerers()
        return held.total() == WAITS and not set(held) & triggerers

    def resumed(self) -> int:
        """Return how often a sensor went on after its wait, in all logs of the run."""
        folder = self.airflow.home / "logs" / f"dag_id={DAG_ID}" / f"run_id={self.run_id}"
        return sum(path.read_text().count(RESUMED) for path in folder.rglob("attempt=*.log"))

    def end_batches(self) -> None:
        """Let all batches end, and wait for the sensors."""
        self.emulator.advance(HOURS)
        wait_until(lambda: self.states() == {("success", 1): WAITS}, what="all waits end", timeout=600)


@pytest.fixture
def many_waits(lab: CrashLab, tmp_path: Path) -> Iterator[Callable[[], ManyWaits]]:
    """Return a function that starts the run and returns when one triggerer holds all of its waits."""
    airflow = lab.airflow
    shutil.copy(DAGS / "waits.py", lab.folder.parent / "dags")
    with Emulator(tmp_path / "state", seconds_per_batch=HOURS) as emulator:

        def start() -> ManyWaits:
            conn_id = run_id = f"many_{emulator.port}"
            add_connection(airflow, conn_id, emulator)
            airflow.rest.wait_for_dag(DAG_ID)
            airflow.rest.unpause(DAG_ID)
            batch_ids = [create_batch(emulator) for _ in range(WAITS)]
            airflow.trigger(DAG_ID, {"claude_conn_id": conn_id, "batch_ids": batch_ids}, run_id=run_id)
            waits = ManyWaits(airflow, emulator, run_id)
            wait_until(lambda: waits.triggerers().total() == WAITS, what="all wait", timeout=600)
            return waits

        yield start


def test_the_waits_of_a_triggerer_that_dies_all_end_in_the_next(many_waits: Callable[[], ManyWaits]):
    waits = many_waits()
    held_by = set(waits.triggerers())
    dying = waits.airflow.component("triggerer")
    send_signal(dying, signal.SIGKILL)
    psutil.wait_procs(dying, timeout=10)
    waits.airflow.start_component("triggerer")
    wait_until(
        lambda: waits.are_held_by_others_than(held_by), what="the next triggerer has them", timeout=240
    )
    waits.end_batches()
    assert waits.resumed() == WAITS
    assert waits.emulator.calls.count_of("cancel") == 0


def test_waits_that_two_triggerers_hold_end_once_and_cancel_nothing(many_waits: Callable[[], ManyWaits]):
    waits = many_waits()
    held_by = set(waits.triggerers())
    frozen = waits.airflow.component("triggerer")
    send_signal(frozen, signal.SIGSTOP)
    try:
        waits.airflow.start_component("triggerer")
        wait_until(
            lambda: waits.are_held_by_others_than(held_by), what="the other triggerer has them", timeout=240
        )
    finally:
        send_signal(frozen, signal.SIGCONT)
    looks = len(waits.emulator.calls)
    wait_until(lambda: len(waits.emulator.calls) > looks + 5, what="both have looked")
    waits.end_batches()
    assert waits.resumed() == WAITS
    assert waits.emulator.calls.count_of("cancel") == 0
