"""Pipelines in one call: once, once for each partition, and with a person's approval in between."""

from airflow.sdk import DAG, Param, chain, task, task_group

from airflow_provider_claude_batch.task_groups.approval import claude_batch_with_approval
from airflow_provider_claude_batch.task_groups.pipeline import claude_batch_pipeline

ROWS = {
    "sql_conn_id": "warehouse",
    "key": "id",
    "prompt": "What is {body}?",
    "model": "claude-haiku-5-5",
    "max_tokens": 50,
    "poll_interval": 1,
    "max_error_rate": 0.5,
}
PARAMS = {"folder": Param(type="string")}


@task
def start() -> None:
    """Come before."""


@task
def count(loads: object) -> list[int]:
    """Return how many rows were loaded, by each load."""
    return [load["rows"] for load in ([loads] if isinstance(loads, dict) else loads)]


with DAG(dag_id="one_call", schedule=None, params=PARAMS) as one_call:
    labels = claude_batch_pipeline(
        group_id="labels",
        sql="select * from items",
        destination="{{ params.folder }}/out",
        default_args={"retries": 2},
        **ROWS,
    )
    start() >> labels.group
    count(labels.output)


with DAG(dag_id="partitions", schedule=None, params=PARAMS) as partitions:
    labels = claude_batch_pipeline(
        group_id="labels",
        sql="select * from items where id % 2 = ?",
        expand={"parameters": [[0], [1]]},
        destination="{{ params.folder }}/out",
        **ROWS,
    )
    chain(start(), labels.group, count(labels.output))


with DAG(dag_id="partitions_of_a_task", schedule=None, params=PARAMS) as partitions_of_a_task:

    @task
    def found() -> list[str]:
        """Return queries."""
        return [f"select {number} as id, 'plum' as body" for number in range(3)]

    claude_batch_pipeline(
        group_id="labels", expand={"sql": found()}, destination="{{ params.folder }}/out", **ROWS
    )


with DAG(dag_id="pairs", schedule=None, params=PARAMS) as pairs:

    @task
    def partition_list(params: dict[str, str]) -> list[dict[str, object]]:
        """Return what is to go where."""
        return [
            {"parameters": [number], "destination": f"{params['folder']}/out/id={number}"}
            for number in range(2)
        ]

    @task_group
    def each(parameters: object, destination: str) -> None:
        """Label one partition."""
        claude_batch_pipeline(
            group_id="labels",
            sql="select * from items where id = ?",
            parameters=parameters,
            destination=destination,
            **ROWS,
        )

    each.expand_kwargs(partition_list())


with DAG(dag_id="asked", schedule=None, params=PARAMS) as asked:
    claude_batch_with_approval(
        group_id="labels", sql="select * from items", destination="{{ params.folder }}/out", **ROWS
    )
