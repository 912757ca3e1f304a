"""Submissions whose tasks are killed or stopped where a run's params say, and tried again."""

from datetime import timedelta

from airflow.sdk import DAG, Param
from kill_points import observe

from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

PARAMS = {
    "label": Param(type="string"),
    "claude_conn_id": "anthropic_default",
    "staging": Param(type="string"),
    "destination": Param(type="string"),
    "marks": Param(type="string"),
    "points": Param([], type="array"),
    "count_steps": False,
}
SUBMIT = {
    "claude_conn_id": "{{ params.claude_conn_id }}",
    "sql_conn_id": "rows",
    "sql": "select id, body from inputs where label = '{{ params.label }}' order by id",
    "key": "id",
    "prompt": "What is {body}?",
    "output_schema": "label STRING",
    "model": "claude-haiku-5-5",
    "max_tokens": 64,
    "staging_path": "{{ params.staging }}",
    "poll_interval": 2,
    # The stricter choice: whatever happens here, nobody fails a task by hand, so nothing may be canceled.
    "cancel_on_kill": True,
}
LOAD = {"destination": "{{ params.destination }}", "poll_interval": 2}

#: Where the end of a deferral overtakes the news of its beginning, the scheduler counts a failed try: on a
#: busy machine that happens to a wait for batches that have ended already.
WAIT = {"deferrable": True, "poll_interval": 2, "retries": 8}


def crash_dag(dag_id: str, *, retry_delay: timedelta) -> DAG:
    """Return a Dag without tasks, whose tasks will be observed."""
    return DAG(
        dag_id=dag_id,
        schedule=None,
        max_active_runs=300,
        max_active_tasks=300,
        default_args={"retries": 3, "retry_delay": retry_delay, "pre_execute": observe},
        params=PARAMS,
    )


for name, seconds in {"crash_submit": 1, "crash_slow_retry": 60}.items():
    with crash_dag(name, retry_delay=timedelta(seconds=seconds)) as dag:
        submit = ClaudeBatchSubmitOperator(task_id="submit", **SUBMIT)
        wait = ClaudeBatchSensor(task_id="wait", submission=submit.output, **WAIT)
        load = ClaudeBatchToParquetOperator(task_id="load", submission=submit.output, **LOAD)
        submit >> wait >> load
    globals()[name] = dag

#: Here the load waits itself, so that a run whose batches end at once has two task processes.
for name, layout in {"crash_load": {}, "crash_files": {"partition_by": ["claude_rounds"]}}.items():
    with crash_dag(name, retry_delay=timedelta(seconds=1)) as dag:
        submit = ClaudeBatchSubmitOperator(task_id="submit", **SUBMIT)
        submit >> ClaudeBatchToParquetOperator(task_id="load", submission=submit.output, **LOAD, **layout)
    globals()[name] = dag

with crash_dag("crash_mapped", retry_delay=timedelta(seconds=1)):
    HALF = "select id, body from inputs where label = '{{ params.label }}' and id % 2 = :half order by id"
    submit = ClaudeBatchSubmitOperator.partial(task_id="submit", **{**SUBMIT, "sql": HALF}).expand(
        parameters=[{"half": 0}, {"half": 1}]
    )
    wait = ClaudeBatchSensor(task_id="wait", submission=submit.output, **WAIT)
    load = ClaudeBatchToParquetOperator.partial(task_id="load", **LOAD).expand(submission=submit.output)
    submit >> wait >> load
