"""Clearing a task, or making a run again, sends only what was never sent."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_claude_batch.emulator import Emulator
from tests.system.crashes.crash_lab import CrashLab, CrashRun, go_on, kill, stop, wait_until
from tests.system.crashes.moments import LAST_BYTE_GONE

pytestmark = pytest.mark.airflow

ALL = ("submit", "wait", "load")
HOURS = 3600


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Emulator]:
    """Give an emulator whose batches end only when its clock is put forward."""
    with Emulator(tmp_path / "slow", seconds_per_batch=HOURS) as emulator:
        yield emulator


def change_rows(run: CrashRun) -> set[str]:
    """Change one row of a run and add one; return the texts of before and after."""
    rows = run.lab.rows(run.label)
    changed = {**rows, 2: f"<{run.label} 2 changed>", 7: f"<{run.label} 7>"}
    run.lab.write_rows(run.label, changed)
    return {*rows.values(), *changed.values()}


def wait_for(run: CrashRun, task_id: str, state: str) -> None:
    wait_until(lambda: run.task_states.get(task_id) == state, what=f"{task_id} is {state}")


def finish(run: CrashRun, slow: Emulator | None = None) -> CrashRun:
    """Let the batches end, wait for the run, and return it."""
    if slow is not None:
        slow.advance(HOURS)
    run.lab.wait([run])
    return run


@pytest.fixture(scope="module")
def succeeded(lab: CrashLab) -> Callable[[], CrashRun]:
    """Return a function that gives a run that has ended well, another each time."""
    runs = [lab.start() for _ in range(4)]
    lab.wait(runs)
    left = iter(runs)
    return lambda: next(left)


def test_a_submission_cleared_after_it_was_published_is_paid_once(succeeded: Callable[[], CrashRun]):
    run = succeeded()
    run.clear(*ALL)
    assert not finish(run).problems()
    assert run.tries["submit"] == 2


def test_a_submission_cleared_after_its_input_changed_pays_for_what_is_new(succeeded: Callable[[], CrashRun]):
    run = succeeded()
    texts = change_rows(run)
    run.clear(*ALL)
    assert not finish(run).problems(paid=texts)


def test_a_run_made_again_under_its_id_is_paid_once(succeeded: Callable[[], CrashRun]):
    run = succeeded()
    assert not finish(run.lab.start_again(run)).problems()


def test_a_run_made_again_after_its_input_changed_pays_for_what_is_new(succeeded: Callable[[], CrashRun]):
    run = succeeded()
    texts = change_rows(run)
    assert not finish(run.lab.start_again(run)).problems(paid=texts)


def test_a_submission_cleared_while_its_batches_are_in_flight_is_paid_once(lab: CrashLab, slow: Emulator):
    run = lab.start(emulator=slow)
    wait_for(run, "wait", "deferred")
    run.clear(*ALL)
    wait_until(lambda: run.tries["submit"] == 2, what="submit runs again")
    wait_for(run, "wait", "deferred")
    assert not finish(run, slow).problems()


def test_a_change_of_the_input_while_batches_are_in_flight_pays_for_what_is_new(
    lab: CrashLab, slow: Emulator
):
    run = lab.start(emulator=slow)
    wait_for(run, "wait", "deferred")
    texts = change_rows(run)
    run.clear(*ALL)
    wait_until(lambda: run.tries["submit"] == 2, what="submit runs again")
    wait_for(run, "wait", "deferred")
    assert not finish(run, slow).problems(paid=texts)


def test_a_submit_task_cleared_while_it_looks_for_its_batch_is_paid_once(lab: CrashLab, slow: Emulator):
    slow.fail_once("create", with_="reset-connection", after="accepted")
    run = lab.start(emulator=slow)
    wait_for(run, "submit", "deferred")
    run.clear("submit")
    wait_until(lambda: run.tries["submit"] == 2, what="submit runs again")
    wait_for(run, "submit", "deferred")
    assert not finish(run, slow).problems()


def test_a_submit_task_cleared_while_it_waits_for_its_retry_is_paid_once(lab: CrashLab):
    run = lab.start(kill(LAST_BYTE_GONE), dag_id="crash_slow_retry")
    wait_for(run, "submit", "up_for_retry")
    run.clear("submit")
    assert not finish(run).problems()


@pytest.mark.proof
@pytest.mark.parametrize("point", ["ManifestFolder.write_sent:call", LAST_BYTE_GONE])
def test_a_submit_task_cleared_while_it_runs_is_paid_once(point: str, lab: CrashLab):
    run = lab.start(stop(point))
    wait_until(lambda: all(run.reached()), what="the task stops")
    run.clear("submit")
    go_on([run])
    assert not finish(run).problems()
