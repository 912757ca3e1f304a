"""
A batch's results into the manifest folder: one Parquet file a shard, whole or not there at all.

The lines are counted against the server's own counts before the file is put. The rule is:

* as many lines as the server counts have come, whosever they are; else they are read again, and in the end
  nothing is put;
* every row of the shard comes out once. Of doubled lines the first counts, lines of other requests are left
  out; a request without a line comes out as ``missing`` and one whose line cannot be read as ``errored``, so
  that a further round can send it again. All four are read again first, and a warning counts those that stay;
* results in which not one line is of the shard are another batch's: nothing is put.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.lines import chunks_to_blocks
from airflow_provider_claude_batch.errors import BatchNotEndedError, ResultsIncompleteError
from airflow_provider_claude_batch.hooks.refusals import is_temporary, retry_after
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.rereads import BrokenReadError, Rereads
from airflow_provider_claude_batch.submission.storage import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa
    from anthropic.types.messages import MessageBatch

    from airflow_provider_claude_batch.core.manifest import BatchRecord, Round, ShardRecord
    from airflow_provider_claude_batch.core.prices import PriceList
    from airflow_provider_claude_batch.core.results_to_arrow import LineCounts
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

_log = logging.getLogger(__name__)

#: Bytes in memory after which rows become a row group of the file.
_ROW_GROUP_BYTES = 4_000_000

_KEPT = "They are kept by Anthropic for 29 days; a retry reads them again and pays nothing."

_PATIENT = Rereads()


def land_shard(
    folder: ManifestFolder,
    in_round: Round,
    shard: ShardRecord,
    record: BatchRecord,
    hook: ClaudeBatchHook,
    *,
    json_schema: Mapping[str, object] | None,
    price_list: PriceList | None = None,
    keep_content: bool = False,
    rereads: Rereads = _PATIENT,
) -> MessageBatch:
    """
    Read a batch's results, join them with the shard's keys and write ``results-NNNNN.parquet``.

    A stream that breaks or does not add up is read again from its beginning. In memory: the shard's keys, a
    few blocks of lines and one row group; on local disk: the shard's Parquet.

    :param in_round: The round that the shard is of.
    :param record: Its batch.
    :param json_schema: The closed output schema, or ``None``.
    :param price_list: Prices of the batch, or ``None`` where costs stay null.
    :param keep_content: With the raw content blocks.
    :return: The batch as the API shows it.
    :raises BatchNotEndedError: The batch is still processing.
    :raises ResultsIncompleteError: The lines are not as many as the server counts, however often they are
        read, or they cannot be read for longer than ``rereads`` allows.
    """
    keys = folder.read_keys(in_round.index, shard.index, in_round.identity)
    with scratch_folder() as scratch:
        path = scratch / "results.parquet"

        def read() -> tuple[MessageBatch, LineCounts]:
            batch = _ended_batch(hook, record.batch_id)
            counts = _stream_to_parquet(
                path,
                keys,
                batch,
                hook,
                json_schema=json_schema,
                round_number=in_round.index + 1,
                price_list=price_list,
                keep_content=keep_content,
            )
            _check_counts(counts, batch, shard)
            return batch, counts

        batch, counts = rereads.until_whole(read, is_odd=lambda found: _is_odd(found[1]))
        if _is_odd(counts):
            _log.warning(
                "The results of batch %s hold %d lines of other requests and %d doubled ones, which are left "
                "out; %d requests have no line and come out as missing, %d lines cannot be read and come out "
                "as errored. Tell Anthropic, with the batch's id.",
                batch.id,
                counts.foreign,
                counts.doubled,
                counts.missing,
                counts.unreadable,
            )
        folder.folder.put(path, names.results_path(in_round.index, shard.index))
    return batch


def land_rejected(
    folder: ManifestFolder,
    in_round: Round,
    shard: ShardRecord,
    *,
    json_schema: Mapping[str, object] | None,
    price_list: PriceList | None = None,
    keep_content: bool = False,
) -> None:
    """Write the results of a shard that was never sent, since every row of it was rejected."""
    from airflow_provider_claude_batch.core.results_to_arrow import (
        LineCounts,
        published_schema,
        results_to_arrow,
    )

    keys = folder.read_keys(in_round.index, shard.index, in_round.identity)
    rows = results_to_arrow(
        [],
        keys=keys,
        batch_id=None,
        json_schema=json_schema,
        counts=LineCounts(),
        price_list=price_list,
        keep_content=keep_content,
    )
    with scratch_folder() as scratch:
        path = scratch / "results.parquet"
        _write(path, rows, published_schema(keys.schema, json_schema, keep_content=keep_content))
        folder.folder.put(path, names.results_path(in_round.index, shard.index))


def _ended_batch(hook: ClaudeBatchHook, batch_id: str) -> MessageBatch:
    import anthropic

    try:
        batch = hook.retrieve_batch(batch_id)
    except anthropic.APIError as error:
        if not is_temporary(error):
            raise
        raise _broken(error, batch_id, "cannot be asked for") from error
    if batch.processing_status != "ended":
        raise BatchNotEndedError(
            f"Batch {batch.id} is {batch.processing_status}. It is left alone; a retry looks again."
        )
    return batch


def _stream_to_parquet(
    path: Path,
    keys: pa.Table,
    batch: MessageBatch,
    hook: ClaudeBatchHook,
    *,
    json_schema: Mapping[str, object] | None,
    round_number: int,
    price_list: PriceList | None,
    keep_content: bool,
) -> LineCounts:
    import anthropic
    import httpx2

    from airflow_provider_claude_batch.core.results_to_arrow import (
        BLOCK_BYTES,
        LineCounts,
        published_schema,
        results_to_arrow,
    )

    counts = LineCounts()
    try:
        with hook.open_results(batch.id) as chunks:
            rows = results_to_arrow(
                chunks_to_blocks(chunks, block_bytes=BLOCK_BYTES),
                keys=keys,
                batch_id=batch.id,
                json_schema=json_schema,
                counts=counts,
                round_number=round_number,
                price_list=price_list,
                keep_content=keep_content,
            )
            _write(path, rows, published_schema(keys.schema, json_schema, keep_content=keep_content))
    except (httpx2.RequestError, anthropic.APIError) as error:
        if not is_temporary(error):
            raise
        raise _broken(error, batch.id, f"broke off after {counts.lines} lines") from error
    return counts


def _write(path: Path, rows: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _system_memory(), pq.ParquetWriter(path, schema, compression="zstd") as writer:
        gathered: list[pa.RecordBatch] = []
        for batch in rows:
            gathered.append(batch)
            if sum(one.nbytes for one in gathered) >= _ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(gathered))
                gathered = []
        if gathered:
            writer.write_table(pa.Table.from_batches(gathered))


@contextmanager
def _system_memory() -> Iterator[None]:
    """Let Arrow take memory from the system: its own allocator keeps what other threads have freed."""
    import pyarrow as pa

    usual, system = pa.default_memory_pool(), pa.system_memory_pool()
    pa.set_memory_pool(system)
    try:
        yield
    finally:
        pa.set_memory_pool(usual)
        system.release_unused()


def _broken(error: Exception, batch_id: str, what: str) -> BrokenReadError:
    return BrokenReadError(
        f"The results of batch {batch_id} {what} ({type(error).__name__}). {_KEPT}",
        retry_after_seconds=retry_after(error),
    )


def _is_odd(counts: LineCounts) -> bool:
    return bool(counts.foreign or counts.doubled or counts.missing or counts.unreadable)


def _check_counts(counts: LineCounts, batch: MessageBatch, shard: ShardRecord) -> None:
    told = batch.request_counts
    ended = told.succeeded + told.errored + told.canceled + told.expired
    is_another = counts.lines > 0 and counts.foreign == counts.lines
    if counts.lines == ended and not is_another:
        return
    raise ResultsIncompleteError(
        f"Batch {batch.id} was sent {shard.requests} requests and says that {ended} ended, and its results "
        f"hold {counts.lines} lines: {counts.foreign} of other requests, {counts.doubled} doubled, "
        f"{counts.missing} missing. Nothing is published. {_KEPT}"
    )
