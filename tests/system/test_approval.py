"""What a person approves is sent as it was estimated, and what a person rejects costs nothing."""

import re
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from demo.airflow_standalone import AirflowStandalone
from demo.emulator_session import EmulatorSession
from demo.run import failure_logs
from tests.system.waiting import call, wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

DAG_ID = "approve_costs"
HITL = f"/dags/{DAG_ID}/dagRuns/{{run_id}}/taskInstances/notes.approve/-1/hitlDetails"

#: From 3.3 on Airflow has a state of its own for it; before, the task is deferred.
WAITING_FOR_A_PERSON = ("awaiting_input", "deferred")


class Question:
    """A run that has come to its question."""

    def __init__(self, airflow: AirflowStandalone, destination: Path) -> None:
        self._airflow = airflow
        airflow.rest.wait_for_dag(DAG_ID)
        airflow.rest.unpause(DAG_ID)
        self.run_id = airflow.rest.trigger(DAG_ID, {"destination": str(destination)})
        states = airflow.rest.watch_run(DAG_ID, self.run_id, timeout=240)
        if not any(now.get("notes.approve") in WAITING_FOR_A_PERSON for now in states):
            pytest.fail("\n\n".join(failure_logs(airflow.rest, DAG_ID, self.run_id)))
        # The state changes a moment before the process ends, and no person answers within that moment.
        wait_until(lambda: set(self.workers()) == {"<idle>"}, what="no worker works", timeout=60)
        # Nor before the scheduler has read that its first leg is over: it would take the second for a failed
        # try.
        time.sleep(15)

    def states(self) -> dict[str, str | None]:
        """Return the states of the tasks."""
        return self._airflow.rest.task_states(DAG_ID, self.run_id)

    def detail(self) -> dict[str, Any]:
        """Return the question as Airflow's API shows it."""
        return call(self._airflow, "GET", HITL.format(run_id=self.run_id))

    def answer(self, option: str) -> str:
        """Answer as a person does, wait for the end of the run and return its state."""
        body = {"chosen_options": [option], "params_input": {}}
        call(self._airflow, "PATCH", HITL.format(run_id=self.run_id), body)
        return self._airflow.rest.wait_for_run(DAG_ID, self.run_id)

    def workers(self) -> list[str]:
        """Return what each worker process says that it works on."""
        titles = self._airflow.process_titles()
        return [title.rsplit(": ", 1)[-1].strip() for title in titles if title.startswith("airflow worker")]


@pytest.fixture
def question(airflow: AirflowStandalone, tmp_path: Path) -> Question:
    return Question(airflow, tmp_path / "notes")


def test_what_is_approved_is_sent_and_loaded(
    question: Question, airflow: AirflowStandalone, batch_emulator: EmulatorSession, tmp_path: Path
):
    before = len(batch_emulator.client.batches)
    planned = airflow.rest.xcom(DAG_ID, question.run_id, "notes.plan")
    state = question.answer("Approve")
    assert state == "success", "\n\n".join(failure_logs(airflow.rest, DAG_ID, question.run_id))
    assert len(batch_emulator.client.batches) == before + 1
    sent = airflow.rest.xcom(DAG_ID, question.run_id, "notes.submit")
    assert (sent["manifest"], sent["request_count"]) == (planned["manifest"], planned["request_count"])
    assert pq.read_table(tmp_path / "notes" / "data.parquet").num_rows == planned["request_count"] > 100


def test_what_is_rejected_is_not_sent(question: Question, batch_emulator: EmulatorSession, tmp_path: Path):
    before = len(batch_emulator.client.batches)
    question.answer("Reject")
    states = question.states()
    assert {states.pop(name) for name in ("notes.plan", "notes.approve")} == {"success"}
    assert states == dict.fromkeys(["notes.submit", "notes.wait", "notes.load", "tell"], "skipped")
    assert len(batch_emulator.client.batches) == before
    assert not (tmp_path / "notes").exists()


def test_the_question_holds_the_estimate_and_no_worker(question: Question, airflow: AirflowStandalone):
    assert question.states()["notes.approve"] in WAITING_FOR_A_PERSON
    assert set(question.workers()) == {"<idle>"}
    estimate = airflow.rest.xcom(DAG_ID, question.run_id, "notes.plan", key="estimate")
    assert re.match(r"[\d,]+ requests, .* tokens in, .*\$[\d.]+", estimate)
    body = question.detail()["body"]
    assert body.startswith(estimate)
    assert "Nothing was sent yet" in body
    assert question.answer("Reject") == "success"
