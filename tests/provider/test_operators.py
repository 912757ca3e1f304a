import pydantic
import pytest
from airflow.sdk import DAG, task

from airflow_provider_claude_batch.core.output_schema import to_json_schema
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


class Label(pydantic.BaseModel):
    """Of a {{ run }}."""

    name: str = pydantic.Field(pattern="^[^{#]*$")


def test_an_output_schema_can_be_a_text_for_the_run(tmp_path):
    schema = """
        {"type": "object", "properties": {"name": {"enum": {{ params.names | tojson }}}}}
    """
    operator = submit_with(tmp_path, output_schema=schema)
    operator.render_template_fields({"params": {"names": ["it's", "<b>"]}})
    properties = to_json_schema(operator.output_schema)["properties"]
    assert properties == {"name": {"enum": ["it's", "<b>"]}}


def test_an_output_schema_can_be_what_a_task_returns():
    with DAG(dag_id="d", schedule=None):
        names = task(lambda: {}, task_id="names")
        operator = ClaudeBatchSubmitOperator(task_id="submit", output_schema=names())
    assert operator.upstream_task_ids == {"names"}


def test_a_model_is_an_output_schema_as_it_stands(tmp_path):
    operator = submit_with(tmp_path, output_schema=Label)
    operator.render_template_fields({"run": "night"})
    assert operator.output_schema is Label


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
