"""Every example Dag on a real Airflow, one after the other: each is judged by its own outcome."""

import functools
import importlib
import inspect
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from demo.airflow_standalone import AirflowStandalone
from demo.run import failure_logs
from tests.system.demo_run import REPOSITORY
from tests.system.waiting import call, scheduler_knows_of_leg

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

DAG_IDS = sorted(
    path.stem for path in (REPOSITORY / "example_dags").glob("*.py") if not path.stem.endswith("_parts")
)
#: Where a nightly Dag is switched on soon after its hour, the run of that hour goes first.
TIMEOUT_SECONDS = 900
#: From 3.3 on Airflow has a state of its own for it; before, the task is deferred.
WAITING_FOR_A_PERSON = ("awaiting_input", "deferred")


@pytest.fixture
def query(warehouse: Path):
    """Return a function that runs SQL in the warehouse."""

    def run(sql, parameters=None):
        with closing(duckdb.connect(str(warehouse))) as database:
            return database.execute(sql, parameters).fetchall()

    return run


def answer(airflow: AirflowStandalone, dag_id: str, run_id: str, answers: dict) -> None:
    """Answer the questions of a run that are open."""
    path = f"/dags/{dag_id}/dagRuns/{run_id}"
    questions = call(airflow, "GET", f"{path}/hitlDetails?response_received=false")["hitl_details"]
    for question in questions:
        task = question["task_instance"]
        is_waiting = task["state"] in WAITING_FOR_A_PERSON and task["task_id"] in answers
        if is_waiting and scheduler_knows_of_leg(airflow, task["task_id"], run_id):
            body = {"params_input": {}, **answers[task["task_id"]]}
            call(
                airflow,
                "PATCH",
                f"{path}/taskInstances/{task['task_id']}/{task['map_index']}/hitlDetails",
                body,
            )


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_the_example_does_its_job(dag_id, airflow, query, tmp_path):
    outcome = importlib.import_module(f"tests.examples.outcomes.{dag_id}")
    rest = airflow.rest
    rest.wait_for_dag(dag_id)
    rest.unpause(dag_id)
    run_id = rest.trigger(dag_id, outcome.conf(tmp_path))
    for _ in rest.watch_run(dag_id, run_id, timeout=TIMEOUT_SECONDS):
        answer(airflow, dag_id, run_id, getattr(outcome, "ANSWERS", {}))
    assert rest.dag_run(dag_id, run_id)["state"] == "success", "\n\n".join(failure_logs(rest, dag_id, run_id))
    wanted = {"xcom": functools.partial(rest.xcom, dag_id, run_id)}
    outcome.check(
        tmp_path,
        query,
        **{n: v for n, v in wanted.items() if n in inspect.signature(outcome.check).parameters},
    )
