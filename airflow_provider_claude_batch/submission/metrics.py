"""
What goes to Airflow's own metrics (StatsD, OpenTelemetry), one function an event; docs/metrics.md names all.

Every metric is tagged with ``dag_id`` and ``task_id``. Where metrics are off, nothing happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from airflow_provider_claude_batch.submission.receipt import TaskInstanceNames

_PREFIX = "claude_batch"
_CACHE_WRITES = ("cache_write_5m", "cache_write_1h")


def batches_submitted(ti: TaskInstanceNames, *, batches: int, requests: int) -> None:
    """Count batches that the API has accepted, and their requests."""
    _count(ti, "batches_submitted", batches)
    _count(ti, "requests_submitted", requests)


def batches_in_progress(ti: TaskInstanceNames, *, batches: int, requests: int) -> None:
    """Say how many batches of a task have not ended, and how many of their requests."""
    _gauge(ti, "batches_in_progress", batches)
    _gauge(ti, "requests_in_progress", requests)


def queue_used(ti: TaskInstanceNames, *, requests: int, max_requests: int) -> None:
    """
    Say how full the workspace's processing queue is.

    :param requests: In the queue, whoever sent them.
    :param max_requests: That may be there.
    """
    _gauge(ti, "queue_requests", requests)
    _gauge(ti, "queue_used", requests / max_requests if max_requests else 0.0)


def batch_ended(ti: TaskInstanceNames, *, seconds: float) -> None:
    """
    Time one batch.

    :param seconds: From its creation to its end, by the API's clock.
    """
    from airflow.providers.common.compat.sdk import Stats

    Stats.timing(f"{_PREFIX}.batch_duration", seconds * 1000, tags=_tags(ti))


def retrieval_failing(ti: TaskInstanceNames, *, seconds: float) -> None:
    """
    Say since when the results of an ended batch cannot be read.

    :param seconds: Since the first failure in a row; 0 when they can be read again.
    """
    _gauge(ti, "retrieval_failing_seconds", seconds)


def rows_published(
    ti: TaskInstanceNames,
    *,
    outcomes: Mapping[str, int],
    tokens: Mapping[str, int],
    cost_usd: Decimal | None,
) -> None:
    """
    Say what a submission came to.

    :param outcomes: Rows by outcome.
    :param tokens: Sums by kind, over all rows.
    :param cost_usd: Over all rows; ``None`` where a price is not known, and nothing is said of money.
    """
    rows = sum(outcomes.values())
    for outcome, count in outcomes.items():
        # In the name too: plain StatsD knows no tags.
        _count(ti, f"rows.{outcome}", count)
    if rows:
        _gauge(ti, "failure_rate", (rows - outcomes.get("ok", 0)) / rows)
    read, written = tokens.get("cache_read", 0), sum(tokens.get(kind, 0) for kind in _CACHE_WRITES)
    if read or written:
        _gauge(ti, "cache_hit_rate", read / (read + written))
    if cost_usd is not None:
        _gauge(ti, "cost_usd", float(cost_usd))
        # Counters are whole numbers: several servers cut the rest off.
        _count(ti, "cost_microusd", round(cost_usd * 1_000_000))
        if rows:
            _gauge(ti, "cost_per_row_usd", float(cost_usd / rows))


def _count(ti: TaskInstanceNames, name: str, number: int) -> None:
    from airflow.providers.common.compat.sdk import Stats

    Stats.incr(f"{_PREFIX}.{name}", number, tags=_tags(ti))


def _gauge(ti: TaskInstanceNames, name: str, value: float) -> None:
    from airflow.providers.common.compat.sdk import Stats

    Stats.gauge(f"{_PREFIX}.{name}", value, tags=_tags(ti))


def _tags(ti: TaskInstanceNames) -> dict[str, str]:
    return {"dag_id": ti.dag_id, "task_id": ti.task_id}
