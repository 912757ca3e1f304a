"""A table in eight partitions, each of which is submitted, waited for and loaded by tasks of its own."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_claude_batch.task_groups.pipeline import claude_batch_pipeline

PARTITIONS = 8

with DAG(
    dag_id="partitioned",
    schedule=None,
    params={"claude_conn_id": Param(type="string"), "destination": Param(type="string")},
):
    claude_batch_pipeline(
        group_id="labels",
        claude_conn_id="{{ params.claude_conn_id }}",
        sql_conn_id="warehouse",
        sql="select distribution_id, name, summary from packages where hash(name) % ? = ?",
        expand={"parameters": [[PARTITIONS, partition] for partition in range(PARTITIONS)]},
        key="distribution_id",
        passthrough=["name"],
        prompt="{name}: {summary}",
        output_schema="gist STRING",
        model="claude-haiku-5-5",
        max_tokens=64,
        poll_interval=2,
        destination="{{ params.destination }}",
        default_args={"retries": 3, "retry_delay": timedelta(seconds=1)},
    )
