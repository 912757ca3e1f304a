"""Only a person's failing of a task cancels batches, only where asked for, and only those surely its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from airflow_provider_claude_batch.emulator import Emulator
from demo.airflow_standalone import AirflowStandalone
from tests.system.waiting import HOURS, WaitingRun, start, wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

#: The first create passes; what is done to the second is told after it.
PASS = {"operation": "create", "with_": "slow-answer", "seconds": 0}
LOSE = {"operation": "create", "with_": "reset-connection", "after": "accepted"}
HOLD = {"operation": "create", "with_": "slow-answer", "seconds": 90, "after": "accepted"}

#: Runs by what is done to them: the Dag, and the fault of the second create.
SUBMITS = {
    "failed while deferred": ("submit_and_cancel_on_kill", LOSE),
    "failed while deferred, without the option": ("submit", LOSE),
    "cleared while deferred": ("submit_and_cancel_on_kill", LOSE),
    "failed while it runs": ("submit_and_cancel_on_kill", HOLD),
    "cleared while it runs": ("submit_and_cancel_on_kill", HOLD),
}


@pytest.fixture
def submits(
    airflow: AirflowStandalone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], WaitingRun]]:
    """Return a function that starts a run and waits until its second shard is sent without an answer."""
    with ExitStack() as stack:

        def begin(what: str) -> WaitingRun:
            dag_id, fault = SUBMITS[what]
            folder = tmp_path_factory.mktemp("submit")
            emulator = stack.enter_context(Emulator(folder / "state", seconds_per_batch=HOURS))
            for each in (PASS, fault):
                emulator.fail(**each)
            run = start(airflow, emulator, dag_id, destination=str(folder / "out"))
            if fault is LOSE:
                run.reach("submit", "deferred")
            wait_until(lambda: len(emulator.batches) == 2, what="both shards are sent")
            return run

        yield begin


def test_a_task_that_a_person_fails_while_it_is_deferred_cancels_what_is_surely_its_own(
    submits: Callable[[str], WaitingRun],
):
    run = submits("failed while deferred")
    answered, candidate = run.statuses()
    run.mark_failed("submit")
    # The first question that a triggerer asks Airflow takes it a while to answer.
    wait_until(lambda: bool(run.canceled()), what="the answered batch is canceled", timeout=60)
    assert run.canceled() == [answered]
    assert run.statuses()[candidate] == "in_progress"


def test_a_task_without_the_option_cancels_nothing_when_a_person_fails_it(
    submits: Callable[[str], WaitingRun],
):
    run = submits("failed while deferred, without the option")
    run.mark_failed("submit")
    run.let_the_trigger_go()
    assert run.canceled() == []


def test_a_deferred_task_that_is_cleared_cancels_nothing(submits: Callable[[str], WaitingRun]):
    run = submits("cleared while deferred")
    run.clear("submit")
    run.reach("submit", "deferred", try_number=2)
    run.emulator.advance(HOURS)
    run.reach("submit", "success", try_number=2)
    assert run.canceled() == []
    assert len(run.emulator.batches) == 2


def test_a_task_that_a_person_fails_while_it_runs_cancels_what_is_surely_its_own(
    submits: Callable[[str], WaitingRun],
):
    run = submits("failed while it runs")
    answered, candidate = run.statuses()
    run.mark_failed("submit")
    wait_until(lambda: bool(run.canceled()), what="the answered batch is canceled", timeout=60)
    assert run.canceled() == [answered]
    assert run.statuses()[candidate] == "in_progress"


def test_a_running_task_that_is_cleared_cancels_nothing(submits: Callable[[str], WaitingRun]):
    run = submits("cleared while it runs")
    run.clear("submit")
    run.reach("submit", "deferred", try_number=2)
    run.emulator.advance(HOURS)
    run.reach("submit", "success", try_number=2)
    assert run.canceled() == []
    assert len(run.emulator.batches) == 2
