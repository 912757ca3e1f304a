import runpy

import pyarrow.parquet as pq
import pytest
from airflow.sdk import DAG

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.task_groups.pipeline import claude_batch_pipeline
from tests.provider.dag_runs import DAGS, metadata_database, run_dag

__all__ = ["metadata_database", "run_dag"]


@pytest.fixture
def run(run_dag, table):
    """Run a Dag that reads the table ``items``."""
    return lambda dag_id: run_dag("pipelines.py", dag_id)


@pytest.fixture
def dags():
    return runpy.run_path(str(DAGS / "pipelines.py"))


def ids(path):
    return sorted(pq.read_table(path)["id"].to_pylist())


def test_one_call_submits_waits_and_loads(run, tmp_path):
    assert run("one_call") == dict.fromkeys(
        ["start", "labels.submit", "labels.wait", "labels.load", "count"], "success"
    )
    assert ids(tmp_path / "out" / "data.parquet") == [0, 1, 2, 3, 4]


def test_a_mapped_pipeline_writes_a_file_for_each_partition(run, tmp_path):
    states = run("partitions")
    assert set(states.values()) == {"success"}
    assert ids(tmp_path / "out" / "data-00000.parquet") == [0, 2, 4]
    assert ids(tmp_path / "out" / "data-00001.parquet") == [1, 3]


def test_mapped_submits_are_named_by_their_values(run):
    assert {"labels.submit[[0]]", "labels.submit[[1]]"} <= set(run("partitions"))


def test_partitions_may_come_from_a_task(run, tmp_path):
    assert set(run("partitions_of_a_task").values()) == {"success"}
    assert [ids(path) for path in sorted((tmp_path / "out").iterdir())] == [[0], [1], [2]]


def test_a_pipeline_in_a_mapped_group_takes_several_arguments_together(run, tmp_path):
    assert set(run("pairs").values()) == {"success"}
    assert {path.parent.name: ids(path) for path in tmp_path.glob("out/*/*.parquet")} == {
        "id=0": [0],
        "id=1": [1],
    }


def test_nothing_in_the_group_starts_before_what_is_upstream_of_it(dags):
    assert dags["one_call"].get_task("labels.submit").upstream_task_ids == {"start"}
    assert dags["one_call"].get_task("count").upstream_task_ids == {"labels.load"}


def test_default_args_are_for_every_task(dags):
    assert {dags["one_call"].get_task(f"labels.{name}").retries for name in ("submit", "wait", "load")} == {2}


def test_all_three_tasks_wait_in_the_triggerer_unless_told_otherwise(dags):
    tasks = [dags["one_call"].get_task(f"labels.{name}") for name in ("submit", "wait", "load")]
    assert [(task.deferrable, task.poll_interval) for task in tasks] == [(True, 1)] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"retries": 3}, "retries: no argument.*default_args"),
        ({"submission": {}}, "submission: no argument"),
        ({"expand": {"max_tokens": [1, 2]}}, "max_tokens: only templated arguments can be mapped"),
        ({"expand": {"color": [1, 2]}}, "color: no argument"),
    ],
)
def test_an_argument_of_no_task_is_refused(arguments, message):
    with DAG(dag_id="d", schedule=None), pytest.raises(ClaudeBatchInputError, match=message):
        claude_batch_pipeline(destination="out", **arguments)


@pytest.mark.parametrize("arguments", [{"plan_only": True}, {"expand": {"parameters": [{}]}}])
def test_an_approval_is_for_one_plan_that_is_sent(dags, arguments):
    (name,) = arguments
    claude_batch_with_approval = dags["claude_batch_with_approval"]
    with DAG(dag_id="d", schedule=None), pytest.raises(ClaudeBatchInputError, match=f"^{name}: "):
        claude_batch_with_approval(destination="out", **arguments)


def test_what_is_approved_is_sent_with_its_cap_and_without_a_second_query(dags):
    plan, submit = (dags["asked"].get_task(f"labels.{name}") for name in ("plan", "submit"))
    assert (plan.plan_only, plan.sql) == (True, "select * from items")
    assert (submit.plan_only, submit.sql) == (False, "")
    assert submit.upstream_task_ids == {"labels.plan", "labels.approve"}
