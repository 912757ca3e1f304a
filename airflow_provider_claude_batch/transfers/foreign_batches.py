"""What a load does with ``batch_ids=``: batches that were made elsewhere, of which nothing is on staging."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.gate import Gate
from airflow_provider_claude_batch.core.output_schema import to_json_schema
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from airflow_provider_claude_batch.submission.land_foreign import publish_batches, to_batch_ids
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.publish import Destination
from airflow_provider_claude_batch.transfers.telling import add_to_outlet_events, log_receipt, receipt_to_xcom
from airflow_provider_claude_batch.triggers.waiting import defer, sleep_in_worker

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator


def check_source(
    submission: object, batch_ids: object, *, output_schema: object, delete_after_load: bool
) -> None:
    """
    Check the arguments of a load that say what is loaded.

    :raises ClaudeBatchInputError: They do not go together.
    """
    if (submission is None) == (batch_ids is None):
        raise ClaudeBatchInputError("Give either submission or batch_ids.")
    if batch_ids is None and output_schema is not None:
        raise ClaudeBatchInputError("output_schema goes with batch_ids: a submission has its own.")
    if batch_ids is not None and delete_after_load:
        raise ClaudeBatchInputError("delete_after_load goes with submission: batch_ids are not its own.")


def load_batches(operator: ClaudeBatchToParquetOperator, context: Context) -> dict[str, object] | Pause:
    """Publish the results of a task's ``batch_ids``, or say what to wait for."""
    operator.linked_batch_ids = to_batch_ids(operator.batch_ids)
    schema = operator.output_schema
    receipt = publish_batches(
        _hook(operator),
        operator.linked_batch_ids,
        Destination.at(operator.destination, map_index=context["ti"].map_index),
        json_schema=None if schema is None else to_json_schema(schema),
        how=PublishHow.of(
            partition_by=operator.partition_by,
            sort_by=operator.sort_by,
            max_file_bytes=operator.max_file_bytes,
            keep_old=operator.keep_old,
        ),
        gate=Gate.of(operator.max_error_rate, min_error_count=operator.min_error_count),
        checks=operator.checks,
        ti=context["ti"],
        now=datetime.now(UTC),
    )
    if isinstance(receipt, Pause):
        return receipt
    log_receipt(operator, receipt)
    add_to_outlet_events(operator, context, receipt, None)
    return receipt_to_xcom(receipt, None)


def wait_for_batches(operator: ClaudeBatchToParquetOperator, pause: Pause) -> None:
    """Wait until a task's ``batch_ids`` have ended; deferred, it does not return."""
    if not operator.deferrable:
        sleep_in_worker(operator, pause, poll_interval=operator.poll_interval)
        return
    defer(
        operator,
        pause,
        claude_conn_id=_hook(operator).claude_conn_id,
        manifest="",
        poll_interval=operator.poll_interval,
    )


def _hook(operator: ClaudeBatchToParquetOperator) -> ClaudeBatchHook:
    return ClaudeBatchHook(operator.claude_conn_id or ClaudeBatchHook.default_conn_name)
