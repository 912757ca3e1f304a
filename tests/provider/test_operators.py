import datetime as dt
import json
import socket
from types import SimpleNamespace

import pydantic
import pytest
from airflow.sdk import DAG, task

from airflow_provider_claude_batch.core.output_schema import to_json_schema
from airflow_provider_claude_batch.errors import ApiUnavailableError, ClaudeBatchInputError
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


@pytest.fixture
def submit_once(tmp_path, table, monkeypatch):
    """Return a function that runs a submit task's first try."""
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__STAGING_PATH", str(tmp_path / "staging"))
    operator = submit_with(
        tmp_path,
        sql="select * from items",
        sql_conn_id="warehouse",
        key="id",
        prompt="{body}",
        model="claude-haiku-5-5",
        max_tokens=5,
    )
    ti = SimpleNamespace(
        dag_id="d", run_id="night", task_id="submit", map_index=-1, try_number=1, max_tries=3
    )
    return lambda: operator.execute({"ti": ti, "dag": SimpleNamespace(timezone=dt.UTC)})


def test_an_api_that_is_not_there_is_named_and_asked_again_by_a_retry(submit_once, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    connection = {"conn_type": "anthropic", "password": "k", "host": url, "extra": {"max_retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", json.dumps(connection))
    with pytest.raises(ApiUnavailableError) as caught:
        submit_once()
    said = str(caught.value)
    assert said.startswith(f"claude_conn_id 'anthropic_default': {url} cannot be asked: APIConnectionError")
    assert "Connection refused" in said
    assert said.endswith("Nothing was sent by this try; a retry asks again.")


def test_a_key_that_the_api_refuses_is_said_with_its_answer(submit_once, emulator):
    emulator.fail("list", with_="status", status=401, error_type="authentication_error", times=None)
    with pytest.raises(ApiUnavailableError, match=r"HTTP 401 authentication_error: .* \(request-id req_"):
        submit_once()
    assert emulator.calls.count_of("create") == 0
