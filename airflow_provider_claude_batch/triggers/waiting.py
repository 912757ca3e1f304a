"""How a task waits: in the triggerer, or in the worker where the author says that there is none."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.triggers.batch import ClaudeBatchTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import BaseOperator

    from airflow_provider_claude_batch.submission.pauses import Pause

#: Seconds between looks of a task that waits in a worker.
_WORKER_POLL_SECONDS = 60.0

#: After the end of a pause that no triggerer reported, Airflow fails the task.
_TRIGGERER_LATE_SECONDS = 900.0


def defer(
    operator: BaseOperator,
    pause: Pause,
    *,
    claude_conn_id: str,
    manifest: str,
    poll_interval: float | None,
    cancel_batch_ids: Sequence[str] = (),
    cancel_at: float | None = None,
    expected_seconds: float | None = None,
) -> None:
    """
    Give the worker back until the pause is over; does not return.

    :param manifest: Comes back with the event, to ``execute_complete``.
    :param cancel_batch_ids: Batches to cancel should a person fail the task meanwhile.
    :param cancel_at: Epoch seconds at which the event ``deadline`` comes, if not everything has ended.
    :param expected_seconds: How long such batches took before.
    """
    operator.log.info("Waiting in the triggerer for up to %.0f s: %s", pause.seconds, pause.why)
    operator.defer(
        trigger=ClaudeBatchTrigger(
            claude_conn_id=claude_conn_id,
            batch_ids=pause.batch_ids,
            timeout_at=time.time() + pause.seconds,
            poll_interval=poll_interval,
            wait_for="all" if pause.is_for_results else "any",
            manifest=manifest,
            cancel_batch_ids=list(cancel_batch_ids),
            # Results are waited for from the creation of their batches on, whichever try does it.
            timeout_seconds=pause.seconds if pause.is_for_results else None,
            cancel_at=cancel_at,
            expected_seconds=expected_seconds,
        ),
        method_name="execute_complete",
        timeout=timedelta(seconds=pause.seconds + _TRIGGERER_LATE_SECONDS),
    )


def sleep_in_worker(operator: BaseOperator, pause: Pause, *, poll_interval: float | None) -> None:
    """Hold the worker until it is worth looking again."""
    seconds = pause.seconds
    if not pause.is_fixed:
        seconds = min(seconds, poll_interval or _WORKER_POLL_SECONDS)
    operator.log.warning(
        "Waiting %.0f s in the worker, which holds its slot, since deferrable is False: %s",
        seconds,
        pause.why,
    )
    time.sleep(seconds)
