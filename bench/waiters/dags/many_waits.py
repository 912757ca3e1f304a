"""
Dags whose tasks are deferred by the scheduler, without a worker: waits of one kind for one batch each.

Reads ``waits.json`` beside it: the kind of the waits, how many, and the batches that there are.
"""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import StartTriggerArgs

WAITS = json.loads(Path(__file__).with_name("waits.json").read_text())
DAY = 86_400


def _arguments(kind: str, batch_id: str, seconds: float) -> tuple[str, dict[str, Any]]:
    until = WAITS["began"] + DAY
    if kind == "a file":
        return "airflow.providers.standard.triggers.file.FileTrigger", {
            "filepath": str(Path(__file__).with_name("ended")),
            "poke_interval": seconds,
        }
    if kind == "ours":
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


for index in range(WAITS["dags"]):
    name = f"waits_{index:02d}"
    with DAG(dag_id=name, schedule=None, max_active_tasks=1_000) as dag:
        for number in range(WAITS["per_dag"]):
            batch = WAITS["batch_ids"][index * WAITS["per_dag"] + number]
            WaitOperator(task_id=f"wait_{number:03d}", kind=WAITS["kind"], batch_id=batch)
    globals()[name] = dag
