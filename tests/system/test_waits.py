"""What becomes of a wait and of its batches, whatever a person or the clock does to it."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.emulator import Emulator
from bench.submitting.postgres_server import postgres_server
from demo.airflow_standalone import AirflowStandalone
from demo.emulator_session import EmulatorSession
from demo.run import environment
from tests.system.crashes.conftest import LOCAL_SETTINGS
from tests.system.crashes.crash_airflow import CrashAirflow
from tests.system.waiting import HOURS, WaitingRun, add_connection, create_batch, start, wait_until

pytestmark = pytest.mark.airflow

DAG_FILE = Path(__file__).parent / "dags" / "waits.py"

#: Seconds that the Dags ``wait_briefly`` and ``wait_rescheduled_briefly`` wait.
BRIEF = 40

#: Runs by what is done to them, and the Dag of each.
WAITS = {
    "its time is up, softly": "wait_softly",
    "its time is up": "wait_briefly",
    "its time is up, rescheduled": "wait_rescheduled_briefly",
    "cleared": "wait",
    "failed": "wait",
    "rescheduled": "wait_rescheduled",
}


@pytest.fixture(scope="module")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Emulator]]:
    """Return a function that starts an emulator whose batches end only when its clock is put forward."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            Emulator(tmp_path_factory.mktemp("emulator") / "state", seconds_per_batch=HOURS)
        )


@pytest.fixture(scope="module")
def busy_airflow(
    tmp_path_factory: pytest.TempPathFactory, warehouse: Path, staging: Path, batch_emulator: EmulatorSession
) -> Iterator[CrashAirflow]:
    """Give an Airflow on PostgreSQL: SQLite answers a person with errors while many tasks wait."""
    folder = tmp_path_factory.mktemp("waits")
    dags_folder, local_settings = folder / "dags", folder / "home" / "config" / "airflow_local_settings.py"
    for path in (dags_folder, local_settings.parent):
        path.mkdir(parents=True)
    shutil.copy(DAG_FILE, dags_folder)
    local_settings.write_text(LOCAL_SETTINGS)
    variables = environment(warehouse, staging, batch_emulator)
    with (
        postgres_server() as port,
        CrashAirflow(
            folder / "home", dags_folder=dags_folder, environment=variables, postgres_port=port
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def waits(busy_airflow: CrashAirflow, emulators: Callable[[], Emulator]) -> dict[str, WaitingRun]:
    """Start one run for each test, so that they wait at the same time."""
    runs = {}
    for what, dag_id in WAITS.items():
        emulator = emulators()
        runs[what] = start(busy_airflow, emulator, dag_id, batch_ids=[create_batch(emulator)])
    return runs


def clear_while_deferred(run: WaitingRun) -> None:
    """Clear a wait that is deferred, and let its batch end when it is again."""
    run.reach("wait", "deferred")
    run.clear("wait")
    run.reach("wait", "deferred", try_number=2)
    run.see_looks(2)
    run.emulator.advance(HOURS)
    run.reach("wait", "success", try_number=2)


def test_a_cleared_wait_begins_again_and_leaves_its_batch_alone(
    airflow: AirflowStandalone, emulators: Callable[[], Emulator]
):
    emulator = emulators()
    run = start(airflow, emulator, "wait", batch_ids=[create_batch(emulator)])
    clear_while_deferred(run)
    assert run.canceled() == []


@pytest.mark.proof
def test_a_wait_that_is_cleared_among_others_leaves_its_batch_alone(waits: dict[str, WaitingRun]):
    run = waits["cleared"]
    clear_while_deferred(run)
    assert run.canceled() == []


@pytest.mark.proof
def test_a_wait_that_a_person_fails_leaves_its_batch_alone(waits: dict[str, WaitingRun]):
    run = waits["failed"]
    run.reach("wait", "deferred")
    run.mark_failed("wait")
    run.let_the_trigger_go()
    assert run.task("wait")["state"] == "failed"
    assert set(run.statuses().values()) == {"in_progress"}


@pytest.mark.proof
def test_a_late_wait_that_fails_softly_is_skipped_and_leaves_its_batch_alone(waits: dict[str, WaitingRun]):
    run = waits["its time is up, softly"]
    run.reach("wait", "skipped")
    assert set(run.statuses().values()) == {"in_progress"}


@pytest.mark.proof
def test_a_retry_ends_at_once_when_the_batch_has_ended_meanwhile(
    busy_airflow: CrashAirflow, emulators: Callable[[], Emulator]
):
    emulator = emulators()
    run = start(busy_airflow, emulator, "wait_and_retry_late", batch_ids=[create_batch(emulator)])
    run.reach("wait", "up_for_retry")
    emulator.advance(HOURS)
    run.reach("wait", "success", try_number=2)
    assert run.canceled() == []


@pytest.mark.proof
def test_a_retry_does_not_wait_anew_for_the_whole_time(waits: dict[str, WaitingRun]):
    run = waits["its time is up"]
    run.reach("wait", "failed", try_number=2)
    assert f"have not ended within {BRIEF} s" in run.log_text("wait", 2)
    assert run.seconds_of_try("wait", 2) < BRIEF
    assert set(run.statuses().values()) == {"in_progress"}


@pytest.mark.proof
def test_a_rescheduled_wait_holds_no_worker_and_ends_with_its_batch(waits: dict[str, WaitingRun]):
    run = waits["rescheduled"]
    run.reach("wait", "up_for_reschedule")
    run.see_looks(2)
    run.emulator.advance(HOURS)
    run.reach("wait", "success")
    assert run.canceled() == []


@pytest.mark.proof
def test_a_rescheduled_wait_whose_time_is_up_fails_and_leaves_its_batch_alone(waits: dict[str, WaitingRun]):
    run = waits["its time is up, rescheduled"]
    run.reach("wait", "failed")
    assert set(run.statuses().values()) == {"in_progress"}


@pytest.mark.proof
@pytest.mark.parametrize("dag_id", ["submit_with_deadline", "submit_with_deadline_rescheduled"])
def test_a_deadline_cancels_what_runs_of_the_submission_and_loads_what_is_answered(
    dag_id: str, busy_airflow: CrashAirflow, emulators: Callable[[], Emulator], tmp_path: Path
):
    emulator = emulators()
    others = create_batch(emulator)
    run = start(busy_airflow, emulator, dag_id, destination=str(tmp_path / "out"))
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
    busy_airflow: CrashAirflow, emulators: Callable[[], Emulator]
):
    emulator = emulators()
    create_batch(emulator)
    emulator.advance(HOURS)
    batch_id = create_batch(emulator)
    add_connection(busy_airflow, "watched", emulator)
    busy_airflow.rest.wait_for_dag("load_what_ended")
    busy_airflow.rest.unpause("load_what_ended")
    wait_until(lambda: emulator.calls.count_of("list") > 0, what="the watcher has looked")
    emulator.advance(HOURS)
    query = "select run_id from dag_run where dag_id = 'load_what_ended'"
    wait_until(lambda: bool(busy_airflow.metadata_rows(query)), what="the Dag starts")
    ((run_id,),) = busy_airflow.metadata_rows(query)
    assert busy_airflow.rest.wait_for_run("load_what_ended", run_id) == "success"
    assert busy_airflow.rest.xcom("load_what_ended", run_id, "name_batches") == [batch_id]
    assert emulator.calls.count_of("cancel") == 0
