"""What becomes of a query without rows, by the choice of ``on_empty``."""

from airflow.sdk import DAG, Param

from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

for on_empty in ("skip", "publish_empty"):
    with DAG(dag_id=f"empty_{on_empty}", schedule=None, params={"destination": Param(type="string")}) as dag:
        submit = ClaudeBatchSubmitOperator(
            task_id="submit",
            sql_conn_id="warehouse",
            sql="select distribution_id, version, description from packages where false",
            key="distribution_id",
            prompt="Label {description}",
            output_schema="label STRING, score DOUBLE",
            model="claude-haiku-5-5",
            max_tokens=64,
            passthrough=["version"],
            on_empty=on_empty,
        )
        wait = ClaudeBatchSensor(task_id="wait", submission=submit.output, deferrable=True)
        load = ClaudeBatchToParquetOperator(
            task_id="load", submission=submit.output, destination="{{ params.destination }}"
        )
        submit >> wait >> load
    globals()[dag.dag_id] = dag
