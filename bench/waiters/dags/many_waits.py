"""
Dags of waits of one kind, for one batch each: sensors, or tasks that the scheduler defers without a worker.

Reads ``waits.json`` beside it: the kind of the waits, and the tasks with their batches.
"""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import StartTriggerArgs

from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor

WAITS = json.loads(Path(__file__).with_name("waits.json").read_text())
DAY = 86_400
#: A busy machine loses tasks between executor and scheduler.
PATIENCE = {"retries": 5, "retry_delay": timedelta(seconds=5)}


def _arguments(kind: str, batch_id: str, seconds: float) -> tuple[str, dict[str, Any]]:
    until = WAITS["began"] + DAY
    if kind == "FileTrigger":
        return "airflow.providers.standard.triggers.file.FileTrigger", {
            "filepath": str(Path(__file__).with_name("ended")),
            "poke_interval": seconds,
        }
    if kind == "ClaudeBatchTrigger":
        return "airflow_provider_claude_batch.triggers.batch.ClaudeBatchTrigger", {
            "claude_conn_id": "anthropic_default",
            "batch_ids": [batch_id],
            "timeout_at": until,
            "poll_interval": seconds,
        }
    if kind == "AnthropicBatchTrigger":
        return "airflow.providers.anthropic.triggers.batch.AnthropicBatchTrigger", {
            "conn_id": "anthropic_default",
            "batch_id": batch_id,
            "poll_interval": seconds,
            "end_time": until,
        }
    return "airflow.providers.common.ai.triggers.llm_batch.LLMBatchTrigger", {
        "llm_conn_id": "llm",
        "adapter": "anthropic",
        "batch_id": batch_id,
        "poll_interval": int(seconds),
        "end_time": until,
        "timeout": DAY,
        "cancel_on_kill": False,
        "cancel_on_timeout": False,
    }


class WaitOperator(BaseOperator):
    """A task that begins in the triggerer."""

    start_from_trigger = True
    start_trigger_args: ClassVar[StartTriggerArgs | None] = None

    def __init__(self, *, kind: str, batch_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.batch_id = batch_id
        path, arguments = _arguments(kind, batch_id, WAITS["poll_seconds"])
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=path, trigger_kwargs=arguments, next_method="end", timeout=timedelta(days=1)
        )

    def end(self, *_: object, **__: object) -> float:
        """Return when the task went on."""
        return time.time()


def _wait(task_id: str, batch_id: str) -> BaseOperator:
    if WAITS["kind"] != "ClaudeBatchSensor":
        return WaitOperator(task_id=task_id, kind=WAITS["kind"], batch_id=batch_id)
    return ClaudeBatchSensor(
        task_id=task_id, batch_ids=[batch_id], deferrable=True, poll_interval=WAITS["poll_seconds"]
    )


for dag_id, batches in WAITS["tasks"].items():
    with DAG(dag_id=dag_id, schedule=None, max_active_tasks=1_000, default_args=PATIENCE) as dag:
        for task_id, batch in batches.items():
            _wait(task_id, batch)
    globals()[dag_id] = dag
