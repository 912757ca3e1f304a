"""Texts in files beside the Dag are read for every task that is rendered; what upstream tasks give is not."""

from types import SimpleNamespace

import pytest
from airflow.sdk import DAG

from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.operators.template_files import read_template_files

GIVEN = {
    "task_id": "submit",
    "system": "labels.md",
    "key": "id",
    "model": "claude-haiku-5-5",
    "prompt": "{x}",
}


@pytest.fixture
def dag(tmp_path):
    (tmp_path / "labels.md").write_text("Be {kind}, {{ ds }}")
    (tmp_path / "rows.sql").write_text("select 1")
    with DAG(dag_id="d", schedule=None, template_searchpath=str(tmp_path)) as dag:
        yield dag


def rendered(dag, operator):
    """Return a task as Airflow hands it to a worker that has not loaded its Dag through a Dag bag."""
    context = {
        "ds": "2026-01-01",
        "dag": dag,
        "task": operator,
        "ti": SimpleNamespace(map_index=0),
        "dag_run": SimpleNamespace(conf={}),
    }
    operator.render_template_fields(context)
    return context["task"]


def test_without_a_dag_bag_the_file_is_read(dag):
    task = rendered(dag, ClaudeBatchSubmitOperator(**GIVEN, sql="rows.sql"))
    assert (task.system, task.sql) == ("Be {kind}, 2026-01-01", "select 1")


def test_of_a_mapped_task_files_are_read(dag):
    operator = ClaudeBatchSubmitOperator.partial(**GIVEN).expand(sql=["rows.sql", "select 2"])
    dag.resolve_template_files()
    task = rendered(dag, operator)
    assert (task.system, task.sql) == ("Be {kind}, 2026-01-01", "select 1")


def test_what_an_upstream_task_gave_is_not_taken_for_the_name_of_a_file(dag):
    task = ClaudeBatchSubmitOperator(**GIVEN, sql="rows.sql")
    read_template_files(task, mapped={id(task.sql)})
    assert (task.system, task.sql) == ("Be {kind}, {{ ds }}", "rows.sql")
