"""What becomes of a deferred wait and of its batches, whatever a person or the clock does to it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.emulator import Emulator
from demo.airflow_standalone import AirflowStandalone
from tests.system.waiting import HOURS, WaitingRun, add_connection, create_batch, start, wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

#: Seconds that the Dag ``wait_briefly`` waits, counted from the creation of its batch.
BRIEF = 30

#: Runs by what is done to them, and the Dag of each.
WAITS = {
    "its time is up, softly": "wait_softly",
    "its time is up": "wait_briefly",
    "cleared": "wait",
    "failed": "wait",
}


@pytest.fixture(scope="module")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Emulator]]:
    """Return a function that starts an emulator whose batches end only when its clock is put forward."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            Emulator(tmp_path_factory.mktemp("emulator") / "state", seconds_per_batch=HOURS)
        )


@pytest.fixture(scope="module")
def waits(airflow: AirflowStandalone, emulators: Callable[[], Emulator]) -> dict[str, WaitingRun]:
    """Start one run for each test, so that they wait at the same time."""
    runs = {}
    for what, dag_id in WAITS.items():
        emulator = emulators()
        runs[what] = start(airflow, emulator, dag_id, batch_ids=[create_batch(emulator)])
    return runs


def test_a_cleared_wait_begins_again_and_leaves_its_batch_alone(waits: dict[str, WaitingRun]):
    run = waits["cleared"]
    run.reach("wait", "deferred")
    run.clear("wait")
    run.reach("wait", "deferred", try_number=2)
    run.emulator.advance(HOURS)
    run.reach("wait", "success", try_number=2)
    assert run.canceled() == []


def test_a_wait_that_a_person_fails_leaves_its_batch_alone(waits: dict[str, WaitingRun]):
    run = waits["failed"]
    run.reach("wait", "deferred")
    run.mark_failed("wait")
    run.let_the_trigger_go()
    assert run.task("wait")["state"] == "failed"
    assert set(run.statuses().values()) == {"in_progress"}


def test_a_late_wait_that_fails_softly_is_skipped_and_leaves_its_batch_alone(waits: dict[str, WaitingRun]):
    run = waits["its time is up, softly"]
    run.reach("wait", "skipped")
    assert set(run.statuses().values()) == {"in_progress"}


def test_a_retry_ends_at_once_when_the_batch_has_ended_meanwhile(
    airflow: AirflowStandalone, emulators: Callable[[], Emulator]
):
    emulator = emulators()
    run = start(airflow, emulator, "wait_and_retry_late", batch_ids=[create_batch(emulator)])
    run.reach("wait", "up_for_retry")
    emulator.advance(HOURS)
    run.reach("wait", "success", try_number=2)
    assert run.canceled() == []


def test_a_retry_does_not_wait_anew_for_the_whole_time(waits: dict[str, WaitingRun]):
    run = waits["its time is up"]
    run.reach("wait", "failed", try_number=2)
    assert f"have not ended within {BRIEF} s" in run.log_text("wait", 2)
    assert run.seconds_of_try("wait", 2) < BRIEF
    assert set(run.statuses().values()) == {"in_progress"}


def test_a_deadline_cancels_what_runs_of_the_submission_and_loads_what_is_answered(
    airflow: AirflowStandalone, emulators: Callable[[], Emulator], tmp_path: Path
):
    emulator = emulators()
    others = create_batch(emulator)
    run = start(airflow, emulator, "submit_with_deadline", destination=str(tmp_path / "out"))
    wait_until(lambda: len(emulator.batches) == 3, what="both shards are sent")
    own = [batch_id for batch_id in run.statuses() if batch_id != others]
    emulator.advance(HOURS / 2)
    run.reach("load", "success")
    assert sorted(run.canceled()) == sorted(own)
    assert run.statuses()[others] == "in_progress"
    rows = pq.read_table(tmp_path / "out" / "data.parquet").to_pylist()
    assert Counter(row["claude_outcome"] for row in rows) == {"ok": 2, "canceled": 4}


@pytest.mark.proof
def test_a_batch_made_outside_airflow_starts_a_dag_when_it_ends(
    airflow: AirflowStandalone, emulators: Callable[[], Emulator]
):
    emulator = emulators()
    create_batch(emulator)
    emulator.advance(HOURS)
    batch_id = create_batch(emulator)
    add_connection(airflow, "watched", emulator)
    airflow.rest.wait_for_dag("load_what_ended")
    airflow.rest.unpause("load_what_ended")
    wait_until(lambda: emulator.calls.count_of("list") > 0, what="the watcher has looked")
    emulator.advance(HOURS)
    query = "select run_id from dag_run where dag_id = 'load_what_ended'"
    wait_until(lambda: bool(airflow.metadata_rows(query)), what="the Dag starts")
    ((run_id,),) = airflow.metadata_rows(query)
    assert airflow.rest.wait_for_run("load_what_ended", run_id) == "success"
    assert airflow.rest.xcom("load_what_ended", run_id, "name_batches") == [batch_id]
    assert emulator.calls.count_of("cancel") == 0
