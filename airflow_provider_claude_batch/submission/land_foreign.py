"""
Batches that were made elsewhere, straight from the API to a dataset: rows without keys.

Nothing of them is on staging: a retry reads their results again, which is free for 29 days.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.manifest import Receipt
from airflow_provider_claude_batch.errors import (
    BatchNotEndedError,
    ClaudeBatchInputError,
    QualityGateError,
)
from airflow_provider_claude_batch.hooks.result_stream import Patience, ended_batch, read_results
from airflow_provider_claude_batch.submission.checks import run_checks
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.pricing import price_list
from airflow_provider_claude_batch.submission.publish import publish_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import pyarrow as pa
    from anthropic.types.messages import MessageBatch

    from airflow_provider_claude_batch.core.gate import Gate
    from airflow_provider_claude_batch.core.tally import Tally
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.checks import Checks
    from airflow_provider_claude_batch.submission.dataset_files import LocalDataset
    from airflow_provider_claude_batch.submission.dataset_how import PublishHow
    from airflow_provider_claude_batch.submission.publish import Destination
    from airflow_provider_claude_batch.submission.receipt import TaskInstanceNames

_log = logging.getLogger(__name__)

#: Of answers that no manifest folder holds.
_KEPT = (
    "with Anthropic for 29 days from the creation of their batch: the task reads and judges them again when "
    "it is cleared"
)


def to_batch_ids(given: object) -> list[str]:
    """
    Read the argument of a task.

    :param given: Ids; one that is named twice counts once.
    :raises ClaudeBatchInputError: It is no list of ids, or an empty one.
    """
    is_text = isinstance(given, str | Mapping)
    members = list(given) if isinstance(given, Iterable) and not is_text else []
    if not members or not all(isinstance(member, str) and member for member in members):
        raise ClaudeBatchInputError(
            "batch_ids is not a list of batch ids, or it is empty: there is nothing to load, and the "
            "destination keeps what it had."
        )
    return list(dict.fromkeys(members))


def publish_batches(
    hook: ClaudeBatchHook,
    batch_ids: Sequence[str],
    destination: Destination,
    *,
    json_schema: Mapping[str, object] | None,
    how: PublishHow,
    gate: Gate,
    checks: Checks,
    ti: TaskInstanceNames,
    now: datetime,
) -> Receipt | Pause:
    """
    Publish the results of some batches as one dataset, batch by batch, or say what to wait for.

    :param json_schema: The closed output schema of the answers, or ``None``.
    :return: What was published, which is not written to staging; a pause where batches have not ended.
    :raises ClaudeBatchInputError: The workspace has no such batch, or its results are gone.
    :raises QualityGateError: Too many rows have no usable answer, or a check does not hold.
    :raises ResultsIncompleteError: The lines are not as many as the server counts.
    """
    from airflow_provider_claude_batch.core.foreign_results_to_arrow import foreign_schema

    batches, running = _ended_and_running(hook, batch_ids)
    if running:
        return Pause.for_running_batches(running)

    def judge(tally: Tally, dataset: LocalDataset) -> None:
        refusal = gate.refusal(tally) or run_checks(checks, dataset)
        if refusal is not None:
            raise QualityGateError(refusal, outcomes=tally.outcomes, kept=_KEPT)

    identity = hashlib.sha256(" ".join(batch_ids).encode()).hexdigest()[:16]
    published = publish_rows(
        _rows(hook, batches, json_schema),
        foreign_schema(json_schema),
        destination,
        row_count=sum(_ended_requests(batch) for batch in batches),
        how=how,
        identity=identity,
        gate=judge,
        now=now,
    )
    tally = published.tally
    return Receipt(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        identity=identity,
        model="",
        batch_ids=list(batch_ids),
        rows=tally.rows,
        outcomes=dict(tally.outcomes.most_common()),
        tokens=dict(tally.tokens),
        created_at=min(batch.created_at for batch in batches),
        published_at=now,
        files=published.files,
        cost_usd=None if tally.unpriced else f"{tally.cost_usd:f}",
    )


def _ended_and_running(
    hook: ClaudeBatchHook, batch_ids: Sequence[str]
) -> tuple[list[MessageBatch], list[str]]:
    """Return the batches that have ended and the ids of the others: the list first, since it is one call."""
    listed = {batch.batch_id: batch.has_ended for batch in hook.list_batches().batches}
    patience = Patience()
    ended: list[MessageBatch] = []
    running: list[str] = []
    for batch_id in batch_ids:
        if not listed.get(batch_id, True):
            running.append(batch_id)
            continue
        try:
            ended.append(ended_batch(hook, batch_id, patience=patience))
        except BatchNotEndedError:
            # The list may lag behind.
            running.append(batch_id)
    return ended, running


def _rows(
    hook: ClaudeBatchHook, batches: Sequence[MessageBatch], json_schema: Mapping[str, object] | None
) -> Iterator[pa.RecordBatch]:
    from airflow_provider_claude_batch.core.foreign_results_to_arrow import foreign_results_to_arrow
    from airflow_provider_claude_batch.core.results_to_arrow import LineCounts

    for batch in batches:
        counts = LineCounts()
        yield from foreign_results_to_arrow(
            read_results(hook, batch, patience=Patience()),
            batch_id=batch.id,
            json_schema=json_schema,
            counts=counts,
            price_list=price_list(batch.created_at),
        )
        _log.info("Batch %s is read: %d lines", batch.id, counts.lines)
        if counts.doubled or counts.unreadable:
            _log.warning(
                "The results of batch %s hold %d lines whose custom_id another line has, which are rows too, "
                "and %d lines that cannot be read, which come out as errored.",
                batch.id,
                counts.doubled,
                counts.unreadable,
            )


def _ended_requests(batch: MessageBatch) -> int:
    told = batch.request_counts
    return told.succeeded + told.errored + told.canceled + told.expired
