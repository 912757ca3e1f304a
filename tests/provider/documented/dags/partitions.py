"""A pipeline in one call, one over partitions, and a report for people."""

# [START pipeline]
from airflow.sdk import DAG, Asset

from airflow_provider_claude_batch.task_groups.pipeline import claude_batch_pipeline

LABELS = Asset("review_labels")
QUESTION = {
    "key": "review_id",
    "prompt": "Is this good or bad?\n{body}",
    "output_schema": "sentiment STRING",
    "model": "claude-haiku-5-5",
    "max_tokens": 256,
}

with DAG(dag_id="in_one_call", schedule=None) as in_one_call:
    labels = claude_batch_pipeline(
        group_id="labels",
        sql_conn_id="shop",
        sql="select review_id, body from reviews",
        destination="labels",
        max_error_rate=0.02,
        outlets=[LABELS],
        default_args={"retries": 3},
        **QUESTION,
    )
# [END pipeline]

# [START partitions]
with DAG(dag_id="over_partitions", schedule=None) as over_partitions:
    claude_batch_pipeline(
        group_id="labels",
        sql_conn_id="shop",
        sql="select review_id, body from reviews where lang = ?",
        expand={"parameters": [["de"], ["en"], ["fr"]]},
        destination="labels_by_language",
        **QUESTION,
    )
# [END partitions]
