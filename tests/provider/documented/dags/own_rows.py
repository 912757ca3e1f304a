"""Rows from a function, a pipeline over partitions, and a report for people."""

# [START own_rows]
from collections.abc import Iterator
from importlib.metadata import distributions
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

with DAG(dag_id="own_rows", schedule=None) as own_rows:

    @task.claude_batch(
        key="name",
        prompt="Who would use this package?\n{name}: {summary}",
        output_schema="audience STRING, is_library BOOLEAN",
        model="claude-haiku-5-5",
        max_tokens=256,
    )
    def packages(prefix: str) -> Iterator[dict[str, Any]]:
        """Yield a row for each installed package."""
        for name in sorted({found.metadata["Name"] for found in distributions()}):
            if name.startswith(prefix):
                yield {"name": name, "summary": f"{name} is a Python package."}

    submit = packages("apache-airflow")
    wait = ClaudeBatchSensor(task_id="wait", submission=submit, deferrable=True)
    load = ClaudeBatchToParquetOperator(task_id="load", submission=submit, destination="audiences")
    wait >> load
# [END own_rows]
