"""Rows to Parquet by this package, as its README shows."""

from airflow.sdk import DAG

from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator
from bench.peers.dag_setup import DEFAULT_ARGS, MAX_TOKENS, MODEL, POLL_SECONDS, SQL_CONN_ID, setups
from bench.peers.pipelines import OURS

for setup in setups(OURS):
    with DAG(dag_id=setup.dag_id, schedule=None, default_args=DEFAULT_ARGS):
        submit = ClaudeBatchSubmitOperator(
            task_id="submit",
            claude_conn_id=setup.dag_id,
            sql_conn_id=SQL_CONN_ID,
            sql=setup.sql,
            key="id",
            prompt="Review {id}: {body}",
            model=MODEL,
            max_tokens=MAX_TOKENS,
            deferrable=setup.scenario.deferrable,
            poll_interval=POLL_SECONDS,
        )
        wait = ClaudeBatchSensor(
            task_id="wait",
            submission=submit.output,
            deferrable=setup.scenario.deferrable,
            poll_interval=POLL_SECONDS,
            poke_interval=POLL_SECONDS,
        )
        load = ClaudeBatchToParquetOperator(
            task_id="load", submission=submit.output, destination=str(setup.output)
        )
        submit >> wait >> load
