"""A plan from Parquet files, and another task that sends it."""

from airflow.sdk import DAG, Param

from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

with DAG(
    dag_id="plan_then_send",
    schedule=None,
    params={"source": Param(type="string"), "destination": Param(type="string")},
):
    plan = ClaudeBatchSubmitOperator(
        task_id="plan",
        source_path="{{ params.source }}",
        row_filter=[("shop", "<", 3)],
        key=["shop", "item"],
        messages=[
            {"role": "user", "content": "A nail is"},
            {"role": "assistant", "content": "metal"},
            {"role": "user", "content": [{"type": "text", "text": "{item} is"}]},
        ],
        output_schema={"type": "object", "properties": {"kind": {"enum": ["metal", "fruit"]}}},
        model="claude-haiku-5-5",
        max_tokens=64,
        samples_per_row=2,
        plan_only=True,
    )
    submit = ClaudeBatchSubmitOperator(task_id="submit", submission=plan.output)
    wait = ClaudeBatchSensor(task_id="wait", submission=submit.output, deferrable=True, poll_interval=2)
    load = ClaudeBatchToParquetOperator(
        task_id="load", submission=submit.output, destination="{{ params.destination }}"
    )
    plan >> submit >> wait >> load
