"""One Dag for each mistake that must be told before anything is sent."""

from airflow.sdk import DAG

from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

# The query spells the text of its rows in two halves: found whole in a log, it came from a row.
TEXT = "'row' || '-text'"
ROWS = "select {key} as review_id, {body} as body from range(3)"

MISTAKES = {
    "query_fails": {"sql": "select review_id, body from no_such_table"},
    "unknown_column": {"prompt": "Label {no_such_column}"},
    "duplicate_key": {"sql": ROWS.format(key="4711", body=TEXT)},
    "null_key": {"sql": ROWS.format(key="nullif(range, 1)", body=TEXT)},
    "unknown_connection": {"sql_conn_id": "no_such_connection"},
    "unknown_key": {"key": "no_such_key"},
    "unknown_passthrough": {"passthrough": ["no_such_passthrough"]},
    "unwritable_destination": {},
    # The database's own error quotes the value that is no number.
    "unreadable_value": {"sql": ROWS.format(key="range", body=f"({TEXT})::int")},
}

for name, mistake in MISTAKES.items():
    destination = "/dev/null/labels" if name == "unwritable_destination" else "unreached"
    with DAG(dag_id=f"bad_{name}", schedule=None) as dag:
        arguments = {
            "sql_conn_id": "warehouse",
            "sql": ROWS.format(key="range", body=TEXT),
            "key": "review_id",
            "prompt": "Label {body}",
            "output_schema": "label STRING",
            "model": "claude-haiku-5-5",
            "max_tokens": 64,
            **mistake,
        }
        submit = ClaudeBatchSubmitOperator(task_id="submit", **arguments)
        wait = ClaudeBatchSensor(task_id="wait", submission=submit.output, deferrable=True)
        load = ClaudeBatchToParquetOperator(task_id="load", submission=submit.output, destination=destination)
        submit >> wait >> load
    globals()[dag.dag_id] = dag
