"""The Dag of the quickstart."""

# [START reviews]
from airflow.sdk import DAG

from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

REVIEW_LABEL = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string", "enum": ["good", "bad", "neutral"]},
        "gist": {"type": "string", "description": "What the customer says, in one English line."},
    },
}

with DAG(dag_id="reviews", schedule=None) as reviews:
    submit = ClaudeBatchSubmitOperator(
        task_id="submit",
        sql_conn_id="shop",
        sql="select review_id, lang, product, body from reviews",
        key="review_id",
        prompt="A customer writes ({lang}) about a {product}:\n{body}",
        output_schema=REVIEW_LABEL,
        model="claude-haiku-5-5",
        max_tokens=256,
        passthrough=["product"],
    )
    wait = ClaudeBatchSensor(task_id="wait", submission=submit.output, deferrable=True, poll_interval=5)
    load = ClaudeBatchToParquetOperator(task_id="load", submission=submit.output, destination="labels")
    submit >> wait >> load
# [END reviews]
