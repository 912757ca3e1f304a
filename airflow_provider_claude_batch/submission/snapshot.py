"""
The snapshot: the query's rows, once, as shards in the manifest folder, before anything is sent.

``round.json`` and then ``plan.json`` are written last, so a crash in the middle leaves nothing that a retry
would trust.
"""

from __future__ import annotations

from array import array
from contextlib import ExitStack
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.manifest import Plan, Round, ShardRecord
from airflow_provider_claude_batch.core.request_template import compile_request
from airflow_provider_claude_batch.core.requests_to_shards import ShardCutter, Slice
from airflow_provider_claude_batch.core.rows_to_requests import (
    EncodedRows,
    RowsToRequests,
    check_source_columns,
    keys_schema,
    row_key,
    rows_to_requests,
)
from airflow_provider_claude_batch.errors import RequestTooLargeError
from airflow_provider_claude_batch.submission.duplicate_keys import check_unique_keys
from airflow_provider_claude_batch.submission.shard_writer import ShardWriter
from airflow_provider_claude_batch.submission.storage import scratch_folder

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from airflow_provider_claude_batch.core.output_schema import JsonObject
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.spec import SubmissionSpec

#: Part of every request digest: what decides an answer besides ``params``.
_DIGEST_CONTEXT = b"/v1/messages/batches\x00"


def take_snapshot(
    folder: ManifestFolder,
    reader: pa.RecordBatchReader,
    spec: SubmissionSpec,
    *,
    identity: str,
    try_number: int,
    max_tries: int,
    now: dt.datetime,
    on_shard: Callable[[ShardRecord], None],
    cutter: ShardCutter | None = None,
) -> Plan:
    """
    Read all rows and write shards, round and plan.

    In memory: one record batch of rows and its requests, and eight bytes a row for the check of the keys.
    On local disk: one shard's files.

    :param reader: Rows of the source.
    :param identity: Random 16 hexadecimal digits.
    :param on_shard: Is told of each finished shard.
    :param cutter: Cuts at the API's limits unless given.
    :raises ClaudeBatchInputError: A column, a key or a row is not as it must be. Nothing was sent.
    """
    how = _how(reader.schema, spec, identity)
    hashes = array("q")
    with scratch_folder() as scratch:
        shards = []
        for shard in _write_shards(
            folder, reader, how, scratch=scratch, cutter=cutter or ShardCutter(), hashes=hashes
        ):
            on_shard(shard)
            shards.append(shard)
    check_unique_keys(folder, hashes, shard_count=max(len(shards), 1), key=spec.key)
    folder.write_round(Round(index=0, shards=[shard for shard in shards if shard.requests]))
    settings = spec.settings()
    plan = Plan(
        identity=identity,
        created_at=now,
        row_count=len(hashes),
        settings=settings,
        settings_digest=settings.digest(),
        try_number=try_number,
        max_tries=max_tries,
    )
    folder.write_plan(plan)
    return plan


def _how(schema: pa.Schema, spec: SubmissionSpec, identity: str) -> RowsToRequests:
    check_source_columns(
        schema.names, key=spec.key, passthrough=spec.passthrough, answer=answer_names(spec.json_schema)
    )
    return RowsToRequests(
        identity=identity,
        template=compile_request(spec.params, columns=schema.names),
        key=spec.key,
        passthrough=spec.passthrough,
        digest_context=_DIGEST_CONTEXT,
    )


def answer_names(json_schema: JsonObject | None) -> list[str]:
    """Return the columns that an answer becomes."""
    properties = json_schema["properties"] if json_schema else None
    return list(properties) if isinstance(properties, dict) else []


def _write_shards(
    folder: ManifestFolder,
    reader: pa.RecordBatchReader,
    how: RowsToRequests,
    *,
    scratch: Path,
    cutter: ShardCutter,
    hashes: array[int],
) -> Iterator[ShardRecord]:
    schema = keys_schema(reader.schema, key=how.key, passthrough=how.passthrough)
    index = 0
    with ExitStack() as stack:
        writer = ShardWriter(scratch, round_index=0, index=index, keys_schema=schema)
        stack.callback(writer.close)
        for rows in reader:
            encoded = rows_to_requests(rows, how, first_row=len(hashes))
            for part in cutter.cut([len(request) for request in encoded.requests]):
                _check_size(part, rows, how, first_row=len(hashes))
                if part.shard_index > index:
                    yield writer.finish(folder.folder)
                    index = part.shard_index
                    writer = ShardWriter(scratch, round_index=0, index=index, keys_schema=schema)
                    stack.callback(writer.close)
                _write_part(writer, encoded, part)
            hashes.extend(encoded.key_hashes)
        yield writer.finish(folder.folder)


def _write_part(writer: ShardWriter, encoded: EncodedRows, part: Slice) -> None:
    writer.write(
        encoded.requests[part.start : part.stop], encoded.keys.slice(part.start, part.stop - part.start)
    )


def _check_size(part: Slice, rows: pa.RecordBatch, how: RowsToRequests, *, first_row: int) -> None:
    if part.too_large:
        raise RequestTooLargeError(
            "the request alone is larger than a whole batch may be",
            row=first_row + part.start,
            key=row_key(rows, how.key, part.start),
        )
