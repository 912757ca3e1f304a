import pyarrow.parquet as pq
import pytest
from airflow.sdk import DAG, task

from airflow_provider_claude_batch.decorators.claude_batch import claude_batch_task
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from tests.provider.dag_runs import metadata_database, run_dag

__all__ = ["metadata_database", "run_dag"]

REQUEST = {"key": "id", "prompt": "What is {body}?", "model": "claude-haiku-5-5", "max_tokens": 50}


@pytest.fixture
def run(run_dag):
    return lambda dag_id: run_dag("made_rows.py", dag_id)


def operator_of(function, *arguments, **settings):
    with DAG(dag_id="d", schedule=None):
        return claude_batch_task(**REQUEST, **settings)(function)(*arguments).operator


def ids(path):
    return sorted(pq.read_table(path)["id"].to_pylist())


def test_a_retry_does_not_call_the_function_again(run, emulator, tmp_path):
    assert run("yielded_rows") == dict.fromkeys(["words", "rows", "wait", "load"], "success")
    assert ids(tmp_path / "out" / "data.parquet") == [0, 1]
    assert (tmp_path / "calls").read_text() == "called\n"
    assert len(emulator.batches) == 1


def test_a_task_that_comes_back_from_a_wait_does_not_call_the_function_again(
    run, emulator, tmp_path, monkeypatch
):
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__LOST_CREATE_GRACE_SECONDS", "1")
    emulator.fail_once("create", after="accepted", with_="reset-connection")
    assert run("returned_frame") == dict.fromkeys(["frame", "wait", "load"], "success")
    assert emulator.faults_left == 0
    assert ids(tmp_path / "out" / "data.parquet") == [1, 2, 3]
    assert (tmp_path / "calls").read_text() == "called\n"
    assert len(emulator.batches) == 1


def test_a_mapped_function_makes_a_submission_for_each_value(run, emulator, tmp_path):
    assert set(run("mapped_rows").values()) == {"success"}
    assert ids(tmp_path / "out" / "data-00000.parquet") == [0]
    assert ids(tmp_path / "out" / "data-00001.parquet") == [0, 1, 2]
    assert len(emulator.batches) == 2


def test_airflow_finds_the_decorator_by_its_name():
    assert task.claude_batch is claude_batch_task


@pytest.mark.parametrize("name", ["sql", "source_path", "submission", "row_filter"])
def test_a_second_source_is_refused(name):
    with pytest.raises(ClaudeBatchInputError, match=f"{name}: the decorated function makes the rows"):
        operator_of(lambda: [], **{name: "x"})


def test_rendered_arguments_of_the_function_are_part_of_what_is_asked():
    def rows(day):
        return [{"day": day}]

    operators = [operator_of(rows, day) for day in ("{{ ds }}", "2026-11-02", "2026-11-03")]
    for operator in operators:
        operator.render_template_fields({"ds": "2026-11-02"})
    first, same, other = (operator.rows_on_record() for operator in operators)
    assert first == same != other


def test_the_arguments_of_the_decorator_are_not_taken_for_the_function_s_text():
    def rows():
        return []

    assert operator_of(rows).rows_on_record() == operator_of(rows, retries=3).rows_on_record()
    assert "def rows" in operator_of(rows).rows_on_record()[0]


class Unknown:
    """Has no plain value."""


@pytest.mark.parametrize("make", [Unknown, lambda: {1: {Unknown()}}, lambda: {(1, 2): "\ud800"}])
def test_an_argument_without_a_plain_value_counts_the_same_in_every_process(make):
    def rows(value):
        return [value]

    assert operator_of(rows, make()).rows_on_record() == operator_of(rows, make()).rows_on_record()
