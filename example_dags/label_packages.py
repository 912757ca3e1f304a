"""
Label every package in the warehouse with a topic, an audience and a gist.

One query, one submission, one Parquet dataset:

1. **submit** streams the rows of the query into Message Batches, half the price of single calls.
2. **wait** is deferred: no worker slot is taken while the batches are processed.
3. **load** checks every answer against the schema and writes Parquet, one row for each row of the query, with
   the warehouse's own key.

It needs the connection `anthropic_default`, and `warehouse`: any SQL database with a table `packages`.
"""

# [START label_packages]
from airflow.sdk import DAG, Param

from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

TOPICS = [
    "Airflow",
    "asyncio",
    "build tools",
    "cloud services",
    "database",
    "operating system",
    "parsing and formats",
    "scientific computing",
    "security",
    "telemetry",
    "terminal",
    "testing",
    "web",
    "other",
]
AUDIENCES = ["developers", "data engineers", "scientists", "system administrators", "end users"]

PACKAGE_LABEL = {
    "type": "object",
    "properties": {
        "topic": {"type": "string", "enum": TOPICS, "description": "What the package is mostly about."},
        "audience": {"type": "string", "enum": AUDIENCES, "description": "Who will use it."},
        "gist": {"type": "string", "description": "What it does, in one line.", "maxLength": 200},
    },
    "required": ["topic", "audience", "gist"],
    "additionalProperties": False,
}

# [START dag]
with DAG(
    dag_id="label_packages",
    schedule=None,
    tags=["claude", "batch", "example"],
    doc_md=__doc__,
    params={"destination": Param(type="string", minLength=1, description="Folder or URL for the Parquet.")},
) as label_packages:
    submit = ClaudeBatchSubmitOperator(
        task_id="submit",
        claude_conn_id="anthropic_default",
        sql_conn_id="warehouse",
        sql="select distribution_id, name, version, summary, description, trove_topic from packages",
        key="distribution_id",
        system="You catalogue Python packages. Judge a package by what it does, not by how it is built.",
        prompt="{summary}\n\nPackage {name} {version}\n\n{description}",
        output_schema=PACKAGE_LABEL,
        model="claude-haiku-5-5",
        max_tokens=512,
        passthrough=["name", "version", "trove_topic"],
        on_empty="skip",
    )
    # Without poll_interval it looks once a minute at most, and less often as the batch grows older.
    wait = ClaudeBatchSensor(task_id="wait", submission=submit.output, deferrable=True, poll_interval=10)
    load = ClaudeBatchToParquetOperator(
        task_id="load", submission=submit.output, destination="{{ params.destination }}"
    )
    submit >> wait >> load
# [END dag]
# [END label_packages]
