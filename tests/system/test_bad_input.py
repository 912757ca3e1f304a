"""Mistakes in a Dag end the run with a clear word, before anything is sent."""

from dataclasses import dataclass

import pytest

from demo.airflow_standalone import AirflowStandalone
from demo.emulator_session import EmulatorSession

pytestmark = pytest.mark.airflow

#: Dag, and what its submit task's log must name.
FACTS = {
    "query_fails": ["no_such_table"],
    "unknown_column": ["no_such_column", "body"],
    "duplicate_key": ["review_id", "4711"],
    "null_key": ["review_id", "null"],
    "unknown_connection": ["no_such_connection"],
    "unknown_key": ["no_such_key", "body"],
    "unknown_passthrough": ["no_such_passthrough", "body"],
    "unwritable_destination": ["/dev/null/labels"],
    "unreadable_value": ["warehouse", "withheld"],
}


@dataclass
class BadRuns:
    """The runs of every bad Dag, awaited together, and the creates that they sent, accepted or not."""

    run_ids: dict[str, str]
    states: dict[str, str]
    creates: int


@pytest.fixture(scope="module")
def bad_runs(airflow: AirflowStandalone, batch_emulator: EmulatorSession) -> BadRuns:
    creates_before = batch_emulator.client.calls.count_of("create")
    rest = airflow.rest
    run_ids = {}
    for name in FACTS:
        rest.wait_for_dag(f"bad_{name}")
        rest.unpause(f"bad_{name}")
        run_ids[name] = rest.trigger(f"bad_{name}")
    states = {name: rest.wait_for_run(f"bad_{name}", run_id) for name, run_id in run_ids.items()}
    return BadRuns(run_ids, states, batch_emulator.client.calls.count_of("create") - creates_before)


@pytest.mark.parametrize("name", FACTS)
def test_the_run_fails_in_submit_and_nothing_after_it_starts(
    name: str, bad_runs: BadRuns, airflow: AirflowStandalone
):
    states = airflow.rest.task_states(f"bad_{name}", bad_runs.run_ids[name])
    assert bad_runs.states[name] == "failed"
    assert states == {"submit": "failed", "wait": "upstream_failed", "load": "upstream_failed"}


@pytest.mark.parametrize("name", FACTS)
def test_the_error_names_the_mistake(name: str, bad_runs: BadRuns, airflow: AirflowStandalone):
    errors = error_texts(airflow, f"bad_{name}", bad_runs.run_ids[name])
    assert errors
    missing = [fact for fact in FACTS[name] if fact.lower() not in "\n".join(errors).lower()]
    assert not missing, errors


@pytest.mark.parametrize("name", FACTS)
def test_no_text_of_a_row_is_in_the_log(name: str, bad_runs: BadRuns, airflow: AirflowStandalone):
    assert "row-text" not in str(airflow.rest.logs(f"bad_{name}", bad_runs.run_ids[name], "submit"))


def test_nothing_was_sent(bad_runs: BadRuns):
    assert bad_runs.creates == 0


def error_texts(airflow: AirflowStandalone, dag_id: str, run_id: str) -> list[str]:
    """Return the exceptions in the submit task's log, as its reader sees them."""
    return [
        f"{error['exc_type']}: {error['exc_value']}"
        for line in airflow.rest.logs(dag_id, run_id, "submit")
        for error in line.get("error_detail") or ()
    ]
