import pytest
from airflow.sdk import DAG

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from tests.provider.submitting import create_batches


def submit_with(folder, **arguments):
    with DAG(dag_id="d", schedule=None, template_searchpath=str(folder)):
        operator = ClaudeBatchSubmitOperator(task_id="submit", **arguments)
    operator.resolve_template_files()
    return operator


def test_texts_may_stand_in_files_and_nothing_else_is_taken_for_one(tmp_path):
    (tmp_path / "labels.md").write_text("Be {kind}, {{ ds }}")
    (tmp_path / "rows.sql").write_text("select 1")
    operator = submit_with(
        tmp_path,
        sql="rows.sql",
        system="labels.md",
        prompt="Summarise {name}.md",
        parameters=["readme.md"],
        request_params={"stop_sequences": [".md"]},
    )
    operator.render_template_fields({"ds": "2026-01-01"})
    assert operator.sql == "select 1"
    assert operator.system == "Be {kind}, 2026-01-01"
    assert operator.prompt == "Summarise {name}.md"
    assert operator.parameters == ["readme.md"]
    assert operator.request_params == {"stop_sequences": [".md"]}


@pytest.mark.parametrize("status", [500, 404, 401])
def test_a_poke_that_fails_goes_on_waiting(emulator, status):
    (batch_id,) = create_batches()
    sensor = ClaudeBatchSensor(task_id="wait", batch_ids=[batch_id], deferrable=False)
    emulator.fail("retrieve", with_="status", status=status, times=3 if status == 500 else 1)
    assert sensor.poke({}) is False
    assert emulator.faults_left == 0
    emulator.advance(60)
    assert sensor.poke({}) is True


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_ids": "msgbatch_1"},
        {"submission": {"manifest": "m", "claude_conn_id": "c", "batch_ids": [], "request_count": 5}},
        {"submission": 7},
    ],
)
def test_a_wait_for_nothing_is_refused(arguments):
    with pytest.raises(ClaudeBatchInputError):
        ClaudeBatchSensor(task_id="wait", deferrable=True, **arguments).execute({})


def test_a_wait_takes_either_a_submission_or_batches():
    with pytest.raises(ClaudeBatchInputError, match="either"):
        ClaudeBatchSensor(task_id="wait")
