"""
A batch's results into the manifest folder: one Parquet file a shard, whole or not there at all.

The lines are counted against the shard and against the server's own counts before the file is put.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.lines import chunks_to_lines
from airflow_provider_claude_batch.errors import BatchNotEndedError, ResultsIncompleteError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.storage import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa
    from anthropic.types.messages import MessageBatch

    from airflow_provider_claude_batch.core.manifest import BatchRecord, Round, ShardRecord
    from airflow_provider_claude_batch.core.results_to_arrow import LineCounts
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

#: Times that a stream is read from its beginning within one try of the task; reading is free.
_READS = 3


def land_shard(
    folder: ManifestFolder,
    in_round: Round,
    shard: ShardRecord,
    record: BatchRecord,
    hook: ClaudeBatchHook,
    *,
    json_schema: Mapping[str, object] | None,
) -> MessageBatch:
    """
    Read a batch's results, join them with the shard's keys and write ``results-NNNNN.parquet``.

    A stream that breaks or comes short is read again from its beginning. In memory: the shard's keys and one
    record batch; on local disk: the shard's Parquet.

    :param in_round: The round that the shard is of.
    :param record: Its batch.
    :param json_schema: The closed output schema, or ``None``.
    :return: The batch as the API shows it.
    :raises BatchNotEndedError: The batch is still processing.
    :raises ResultsIncompleteError: The lines do not agree with the counts, however often they are read.
    """
    batch = hook.retrieve_batch(record.batch_id)
    if batch.processing_status != "ended":
        raise BatchNotEndedError(
            f"Batch {batch.id} is {batch.processing_status}. It is left alone; a retry looks again."
        )
    keys = folder.read_keys(in_round.index, shard.index, in_round.identity)
    with scratch_folder() as scratch:
        path = scratch / "results.parquet"
        for read in range(1, _READS + 1):
            try:
                _check_counts(_stream_to_parquet(path, keys, batch, hook, json_schema), batch, shard)
                break
            except ResultsIncompleteError:
                if read == _READS:
                    raise
        folder.folder.put(path, names.results_path(in_round.index, shard.index))
    return batch


def land_rejected(
    folder: ManifestFolder, in_round: Round, shard: ShardRecord, *, json_schema: Mapping[str, object] | None
) -> None:
    """Write the results of a shard that was never sent, since every row of it was rejected."""
    import pyarrow.parquet as pq

    from airflow_provider_claude_batch.core.results_to_arrow import (
        LineCounts,
        published_schema,
        results_to_arrow,
    )

    keys = folder.read_keys(in_round.index, shard.index, in_round.identity)
    rows = results_to_arrow([], keys=keys, batch_id=None, json_schema=json_schema, counts=LineCounts())
    with scratch_folder() as scratch:
        path = scratch / "results.parquet"
        with pq.ParquetWriter(path, published_schema(keys.schema, json_schema), compression="zstd") as writer:
            for batch in rows:
                writer.write_batch(batch)
        folder.folder.put(path, names.results_path(in_round.index, shard.index))


def _stream_to_parquet(
    path: Path,
    keys: pa.Table,
    batch: MessageBatch,
    hook: ClaudeBatchHook,
    json_schema: Mapping[str, object] | None,
) -> LineCounts:
    import httpx2
    import pyarrow.parquet as pq

    from airflow_provider_claude_batch.core.results_to_arrow import (
        LineCounts,
        published_schema,
        results_to_arrow,
    )

    counts = LineCounts()
    writer = pq.ParquetWriter(path, published_schema(keys.schema, json_schema), compression="zstd")
    try:
        with closing(writer), hook.open_results(batch.id) as chunks:
            for rows in results_to_arrow(
                chunks_to_lines(chunks),
                keys=keys,
                batch_id=batch.id,
                json_schema=json_schema,
                counts=counts,
            ):
                writer.write_batch(rows)
    except httpx2.RequestError as error:
        raise ResultsIncompleteError(
            f"The results of batch {batch.id} broke off after {counts.lines} lines "
            f"({type(error).__name__}). They are kept by Anthropic for 29 days; a retry reads them again "
            "and pays nothing."
        ) from error
    return counts


def _check_counts(counts: LineCounts, batch: MessageBatch, shard: ShardRecord) -> None:
    told = batch.request_counts
    ended = told.succeeded + told.errored + told.canceled + told.expired
    if counts.lines == ended == shard.requests and not counts.foreign and not counts.doubled:
        return
    raise ResultsIncompleteError(
        f"Batch {batch.id} was sent {shard.requests} requests and says that {ended} ended, and its results "
        f"hold {counts.lines} lines: {counts.foreign} of other requests, {counts.doubled} doubled, "
        f"{counts.missing} missing. Nothing is published. The results are kept by Anthropic for 29 days; a "
        "retry reads them again and pays nothing."
    )
