"""Waits for batches that a run's params name, and submissions that are failed, cleared or late."""

import os
from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetWatcher, Param, task

from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator
from airflow_provider_claude_batch.triggers.batch_ended import ClaudeBatchEndedTrigger

BRIEF = 40

#: A sensor that comes back sooner is queued before a busy scheduler has read that its last look is over.
POKE_SECONDS = 10
RESCHEDULED = {"deferrable": False, "mode": "reschedule", "poke_interval": POKE_SECONDS}
DEFERRED = {"deferrable": True, "poll_interval": 2}
SENSORS = {
    "wait": {},
    "wait_softly": {"soft_fail": True, "timeout": BRIEF},
    "wait_briefly": {"timeout": BRIEF, "retries": 1, "retry_delay": timedelta(seconds=1)},
    "wait_and_retry_late": {"timeout": BRIEF, "retries": 1, "retry_delay": timedelta(seconds=20)},
    "wait_rescheduled": RESCHEDULED,
    "wait_rescheduled_briefly": {**RESCHEDULED, "timeout": BRIEF},
}
PARAMS = {"claude_conn_id": Param(type="string"), "batch_ids": Param([], type="array")}

for name, arguments in SENSORS.items():
    with DAG(dag_id=name, schedule=None, params=PARAMS, render_template_as_native_obj=True) as dag:
        ClaudeBatchSensor(
            task_id="wait",
            claude_conn_id="{{ params.claude_conn_id }}",
            batch_ids="{{ params.batch_ids }}",
            **(DEFERRED | arguments),
        )
    globals()[name] = dag


with DAG(dag_id="wait_for_each", schedule=None, params=PARAMS):

    @task
    def batches_of_each(params):
        """Return what each instance of the sensor waits for."""
        return [[batch_id] for batch_id in params["batch_ids"]]

    ClaudeBatchSensor.partial(
        task_id="wait", claude_conn_id="{{ params.claude_conn_id }}", deferrable=True, poll_interval=2
    ).expand(batch_ids=batches_of_each())


def cut_small_shards(context):
    """Let three requests be a batch, in this task's process alone."""
    os.environ["AIRFLOW__CLAUDE_BATCH__MAX_REQUESTS_PER_BATCH"] = "3"


WITH_DEADLINE = {"deadline": timedelta(seconds=90)}

#: Arguments of the submit task and of the sensor.
SUBMITS = {
    "submit": ({}, DEFERRED),
    "submit_and_cancel_on_kill": ({"cancel_on_kill": True}, DEFERRED),
    "submit_with_deadline": (WITH_DEADLINE, DEFERRED),
    "submit_with_deadline_rescheduled": (WITH_DEADLINE, RESCHEDULED),
}

for name, (arguments, waiting) in SUBMITS.items():
    with DAG(
        dag_id=name,
        schedule=None,
        params={"claude_conn_id": Param(type="string"), "destination": Param(type="string")},
    ) as dag:
        submit = ClaudeBatchSubmitOperator(
            task_id="submit",
            claude_conn_id="{{ params.claude_conn_id }}",
            sql_conn_id="warehouse",
            sql="select range as id, 'Number ' || range as body from range(6)",
            key="id",
            prompt="What is {body}?",
            model="claude-haiku-5-5",
            max_tokens=64,
            poll_interval=2,
            pre_execute=cut_small_shards,
            **arguments,
        )
        wait = ClaudeBatchSensor(
            task_id="wait",
            submission=submit.output,
            deadline_margin=45,
            **waiting,
        )
        load = ClaudeBatchToParquetOperator(
            task_id="load", submission=submit.output, destination="{{ params.destination }}"
        )
        submit >> wait >> load
    globals()[name] = dag

ENDED = Asset(
    "ended_batches",
    watchers=[
        AssetWatcher(name="ended", trigger=ClaudeBatchEndedTrigger(claude_conn_id="watched", poll_interval=2))
    ],
)

with DAG(dag_id="load_what_ended", schedule=[ENDED]):

    @task
    def name_batches(triggering_asset_events):
        """Return the ids of the batches that started the run."""
        return [event.extra["payload"]["batch_id"] for event in triggering_asset_events[ENDED]]

    name_batches()
