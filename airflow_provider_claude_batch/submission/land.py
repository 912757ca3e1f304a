"""
A batch's results into the manifest folder: one Parquet file a shard, whole or not there at all.

Every row of the shard comes out once. Lines of other requests and lines that are there twice are left out; a
request without a line comes out as ``missing`` and one whose line cannot be read as ``errored``, so that a
further round can send it again. All four are read again first, and a warning counts those that stay. What is
not put, since rows would be wrong or paid answers given up, is decided in
:mod:`~airflow_provider_claude_batch.core.results_decision`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.lines import chunks_to_blocks
from airflow_provider_claude_batch.core.results_decision import (
    BatchCounts,
    is_odd,
    refusal,
    unseen_answers,
)
from airflow_provider_claude_batch.errors import BatchNotEndedError, ResultsIncompleteError
from airflow_provider_claude_batch.hooks.refusals import is_temporary, retry_after
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.arrow_memory import frugal_memory
from airflow_provider_claude_batch.submission.dataset_files import ROW_GROUP_BYTES
from airflow_provider_claude_batch.submission.rereads import BrokenReadError, Rereads
from airflow_provider_claude_batch.submission.storage import file_sha256, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa
    from anthropic.types.messages import MessageBatch

    from airflow_provider_claude_batch.core.manifest import BatchRecord, Round, ShardRecord
    from airflow_provider_claude_batch.core.prices import PriceList
    from airflow_provider_claude_batch.core.results_to_arrow import LineCounts
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

_log = logging.getLogger(__name__)

_KEPT = "They are kept by Anthropic for 29 days; a retry reads them again and pays nothing."

_ASKED_AGAIN = "It asks the batch's requests again, which is billed again, and takes all other answers."

_WAY_OUT = f"Should they stay so: delete the batch at Anthropic, then clear the submit task. {_ASKED_AGAIN}"

_PATIENT = Rereads()


@dataclass(frozen=True, slots=True)
class Landing:
    """
    Results of a batch that were written.

    :param ended_at: When the batch ended, by the API's clock.
    :param sha256: Of the file.
    """

    ended_at: datetime | None
    sha256: str


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
) -> Landing:
    """
    Read a batch's results, join them with the shard's keys and write ``results-NNNNN.parquet``.

    A stream that breaks or is odd is read again from its beginning. In memory: the shard's keys, a few blocks
    of lines and one row group; on local disk: the shard's Parquet.

    :param in_round: The round that the shard is of.
    :param record: Its batch.
    :param json_schema: The closed output schema, or ``None``.
    :param price_list: Prices of the batch, or ``None`` where costs stay null.
    :param keep_content: With the raw content blocks.
    :raises BatchNotEndedError: The batch is still processing.
    :raises ResultsIncompleteError: The lines cannot be made rows, however often they are read, or they cannot
        be read for longer than ``rereads`` allows.
    """
    whole: list[LineCounts] = []
    with frugal_memory(), scratch_folder() as scratch:
        keys = folder.read_keys(in_round.index, shard.index, in_round.identity)
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
                compare_doubled=bool(whole),
            )
            whole.append(counts)
            _check_counts(batch, shard, whole)
            return batch, counts

        batch, counts = rereads.until_whole(
            read, is_odd=lambda found: is_odd(found[1], _batch_counts(found[0], shard))
        )
        told = _batch_counts(batch, shard)
        if is_odd(counts, told):
            _warn(batch.id, counts, told)
        sha256 = file_sha256(path)
        folder.folder.put(path, names.results_path(in_round.index, shard.index))
    return Landing(batch.ended_at, sha256)


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

    with frugal_memory(), scratch_folder() as scratch:
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
    compare_doubled: bool,
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
                compare_doubled=compare_doubled,
            )
            _write(path, rows, published_schema(keys.schema, json_schema, keep_content=keep_content))
    except (httpx2.RequestError, anthropic.APIError) as error:
        if not is_temporary(error):
            raise
        raise _broken(error, batch.id, f"broke off after {counts.lines} lines") from error
    except ResultsIncompleteError as error:
        raise ResultsIncompleteError(f"Batch {batch.id}: {error} {_WAY_OUT}") from None
    return counts


def _write(path: Path, rows: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        gathered: list[pa.RecordBatch] = []
        for batch in rows:
            gathered.append(batch)
            if sum(one.nbytes for one in gathered) >= ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(gathered).unify_dictionaries())
                gathered = []
        if gathered:
            writer.write_table(pa.Table.from_batches(gathered).unify_dictionaries())


def _broken(error: Exception, batch_id: str, what: str) -> BrokenReadError:
    from anthropic import NotFoundError

    way_out = f" If it was deleted, clear the submit task. {_ASKED_AGAIN}"
    return BrokenReadError(
        f"The results of batch {batch_id} {what} ({type(error).__name__}). {_KEPT}"
        f"{way_out if isinstance(error, NotFoundError) else ''}",
        retry_after_seconds=retry_after(error),
    )


def _batch_counts(batch: MessageBatch, shard: ShardRecord) -> BatchCounts:
    told = batch.request_counts
    ended = told.succeeded + told.errored + told.canceled + told.expired
    return BatchCounts(requests=shard.requests, ended=ended, succeeded=told.succeeded)


def _check_counts(batch: MessageBatch, shard: ShardRecord, whole: Sequence[LineCounts]) -> None:
    """
    Raise where what was read last cannot be made rows.

    :param whole: Of all reads that came to their end.
    """
    counts, told = whole[-1], _batch_counts(batch, shard)
    why = refusal(counts, told, before=whole[-2] if len(whole) > 1 else None)
    if why is None:
        return
    raise ResultsIncompleteError(
        f"Batch {batch.id} was sent {told.requests} requests. The server says that {told.ended} ended and "
        f"{told.succeeded} succeeded; the results hold {counts.lines} lines, {counts.foreign} of other "
        f"requests, {counts.doubled} doubled, {counts.unreadable} unreadable, with {counts.missing} missing, "
        f"and {counts.succeeded} answers: {why}. Nothing is published. {_KEPT} {_WAY_OUT}"
    )


def _warn(batch_id: str, counts: LineCounts, told: BatchCounts) -> None:
    _log.warning(
        "The results of batch %s, which the server says has %d requests that ended, hold %d lines: %d of "
        "other requests and %d doubled ones, which are left out. %d requests have no line and come out as "
        "missing, %d lines cannot be read and come out as errored; up to %d of these were billed and may be "
        "billed once more. Tell Anthropic, with the batch's id.",
        batch_id,
        told.ended,
        counts.lines,
        counts.foreign,
        counts.doubled,
        counts.missing,
        counts.unreadable,
        unseen_answers(counts, told),
    )
