from tests.examples.outcomes.triage_backfill import AREAS, check
from tests.examples.records import last_run, question, xcoms

DAG_ID = "triage_backfill"


def requests_in(emulator):
    return sum(sum(batch["request_counts"].values()) for batch in emulator.batches)


def test_the_form_decides_what_is_asked_and_a_person_sees_the_counts(
    run_example, warehouse, tmp_path, emulator
):
    states = run_example(DAG_ID)
    assert set(states.values()) == {"success"}
    check(tmp_path, warehouse)
    assert len(emulator.batches) == 1
    told = xcoms(DAG_ID)
    assert told["triage.plan", "estimate"] in question(DAG_ID)
    counted = told["count_labels", "return_value"]
    assert list(counted["tickets"]) == AREAS
    assert (sum(counted["tickets"].values()), counted["no answer"]) == (40, 0)


def test_estimate_only_ends_green_asks_nobody_and_sends_nothing(run_example, tmp_path, emulator):
    states = run_example(DAG_ID, {"plan_only": True}, answers={})
    assert (states.pop("triage.plan"), states.pop("is_to_be_sent")) == ("success", "success")
    assert set(states.values()) == {"skipped"}
    assert "40 requests" in xcoms(DAG_ID)["triage.plan", "estimate"]
    assert emulator.batches == []
    assert not (tmp_path / "triage").exists()


def test_a_larger_run_pays_for_what_it_adds(run_example, warehouse, tmp_path, emulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_DATA_FOLDER", str(tmp_path / "data"))
    run_example(DAG_ID, {"limit": 15, "destination": None})
    assert requests_in(emulator) == 15
    assert (tmp_path / "data" / "triage" / last_run(DAG_ID) / "data.parquet").exists()
    run_example(DAG_ID, {"limit": 40})
    assert requests_in(emulator) == 40
    check(tmp_path, warehouse)


def test_a_text_of_the_form_is_no_sql(run_example, emulator):
    states = run_example(DAG_ID, {"module": "x' or 'a' = 'a"}, answers={})
    assert set(states.values()) == {"skipped"}
    assert emulator.batches == []
