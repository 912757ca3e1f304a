"""
The snapshot: the query's rows, once, as shards in the manifest folder, before anything is sent.

The round and then, exclusively, ``plan.json`` are written last: a crash in the middle leaves nothing that a
retry would trust, and of two tries that take a snapshot at the same time one's is sent, whole.
"""

from __future__ import annotations

from array import array
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.check_source import check_source_columns
from airflow_provider_claude_batch.core.manifest import REPEATED, Plan, Round, ShardRecord
from airflow_provider_claude_batch.core.request_template import compile_request
from airflow_provider_claude_batch.core.requests_to_shards import ShardCutter
from airflow_provider_claude_batch.core.rows_to_requests import (
    EncodedRows,
    RowsToRequests,
    keys_schema,
    rows_to_requests,
)
from airflow_provider_claude_batch.errors import SourceColumnsError
from airflow_provider_claude_batch.submission.answer_index import AskedRequests
from airflow_provider_claude_batch.submission.duplicate_keys import check_unique_keys
from airflow_provider_claude_batch.submission.shard_writer import Asked, ShardsWriter
from airflow_provider_claude_batch.submission.storage import scratch_folder
from airflow_provider_claude_batch.submission.takeover import TakenWriter, Takeover, without_requests

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from airflow_provider_claude_batch.core.check_request import Problem
    from airflow_provider_claude_batch.core.prices import PriceList
    from airflow_provider_claude_batch.hooks.listing import Account
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.spec import SubmissionSpec

#: Bytes of rows that are encoded at once.
_SLICE_BYTES = 1_000_000

#: Part of every request digest: what decides an answer besides ``params``.
_DIGEST_CONTEXT = b"/v1/messages/batches\x00"


@dataclass(slots=True)
class _Passed:
    """What has passed so far."""

    takeover: Takeover | None
    asked: AskedRequests | None
    hashes: array[int] = field(default_factory=lambda: array("q"))
    rejected_rows: int = 0
    repeated: int = 0
    taken_requests: int = 0
    taken: dict[int, TakenWriter] = field(default_factory=dict)

    def to_send(self, encoded: EncodedRows, schema: pa.Schema, scratch: Path) -> EncodedRows:
        """Return the rows, with those marked that are not sent since their answers come from elsewhere."""
        self.hashes.extend(encoded.key_hashes)
        self.rejected_rows += encoded.rejected_rows
        if self.asked is not None:
            encoded = self._without_repeated(encoded, self.asked)
        if self.takeover is None:
            return encoded
        encoded, moved = self.takeover.split(encoded)
        for source, keys in moved:
            if source not in self.taken:
                self.taken[source] = TakenWriter(scratch, number=source, keys_schema=schema)
            self.taken[source].write(keys)
            self.taken_requests += keys.num_rows
        return encoded

    def _without_repeated(self, encoded: EncodedRows, asked: AskedRequests) -> EncodedRows:
        sent = [position for position, request in enumerate(encoded.requests) if request]
        digests = encoded.keys.column("claude_request_digest").to_pylist()
        samples = encoded.keys.column("claude_sample").to_pylist()
        found = asked.find_repeated([(digests[position], samples[position]) for position in sent])
        self.repeated += len(found)
        return (
            without_requests(encoded, {sent[number] for number in found}, why=REPEATED) if found else encoded
        )

    def close(self) -> None:
        """Close what is open."""
        for writer in self.taken.values():
            writer.close()
        if self.asked is not None:
            self.asked.close()


def take_snapshot(
    folder: ManifestFolder,
    reader: pa.RecordBatchReader,
    spec: SubmissionSpec,
    *,
    identity: str,
    staging_root: str = "",
    try_number: int,
    max_tries: int,
    now: dt.datetime,
    on_shard: Callable[[ShardRecord], None],
    check: Callable[[Mapping[str, object]], list[Problem]] | None = None,
    cutter: ShardCutter | None = None,
    takeover: Takeover | None = None,
    account: Account | None = None,
    deadline: dt.datetime | None = None,
    prices: PriceList | None = None,
    pilot_requests: int = 0,
    primes_cache: bool = False,
) -> Plan:
    """
    Read all rows and write shards, round and plan.

    In memory: one record batch of rows and its requests, and eight bytes a row for the check of the keys.
    On local disk: one shard's files.

    :param reader: Rows of the source.
    :param identity: Random 16 hexadecimal digits.
    :param staging_root: URI that the folder is under, for the record.
    :param on_shard: Is told of each finished shard.
    :param check: Says what the API would refuse in ``params`` that an author's function made.
    :param cutter: Cuts at the API's limits unless given.
    :param takeover: What earlier generations have sent; those requests are not sent again.
    :param deadline: When the answers are needed.
    :param prices: Where there is a cap: each shard then says what it can cost at most.
    :param pilot_requests: What the cutter cuts the first shard at, for the record.
    :param primes_cache: They are no pilot, and write the prompt cache only.
    :param account: Whose key the submission is begun with.
    :return: The plan of the generation: of this snapshot, or of the one of another try that was faster.
    :raises ClaudeBatchInputError: A column, a key or a row is not as it must be. Nothing was sent.
    """
    cutter = cutter or ShardCutter()
    how = _how(reader.schema, spec, identity, check, max_body_bytes=cutter.max_bytes)
    shards = []
    with scratch_folder() as scratch, ExitStack() as stack:
        asked = AskedRequests(scratch) if spec.deduplicate else None
        passed = _Passed(takeover=takeover, asked=asked)
        stack.callback(passed.close)
        writing = _write_shards(
            folder,
            reader,
            how,
            scratch=scratch,
            cutter=cutter,
            passed=passed,
            asked=spec.asked(),
            prices=prices,
        )
        for shard in writing:
            on_shard(shard)
            shards.append(shard)
        shard_count = len(shards)
        shards.extend(_finish_taken(folder, passed, first_index=shard_count, identity=identity))
    check_unique_keys(
        folder,
        passed.hashes,
        identity=identity,
        shard_count=shard_count,
        key=spec.key,
        samples_per_row=spec.samples_per_row,
    )
    has_rows = len(passed.hashes) > 0
    folder.write_round(Round(index=0, identity=identity, shards=shards if has_rows else []))
    settings = spec.settings()
    plan = Plan(
        identity=identity,
        created_at=now,
        row_count=len(passed.hashes),
        rejected_rows=passed.rejected_rows,
        repeated_requests=passed.repeated,
        taken_requests=passed.taken_requests,
        settings=settings,
        settings_digest=settings.digest(),
        try_number=try_number,
        max_tries=max_tries,
        staging_root=staging_root,
        retain=spec.retain,
        retain_failed_days=spec.retain_failed_days,
        deadline=deadline,
        pilot_requests=pilot_requests,
        primes_cache=primes_cache,
        keep_content=spec.keep_content,
        organization_id=account.organization_id if account else None,
        workspace_id=account.workspace_id if account else None,
    )
    return _commit(folder, plan)


def _commit(folder: ManifestFolder, plan: Plan) -> Plan:
    """Make this snapshot the generation's, or return the plan of the try that was faster."""
    try:
        folder.write_plan(plan)
    except FileExistsError:
        committed = folder.read_plan()
        if committed is None:
            raise
        return committed
    return plan


def _how(
    schema: pa.Schema,
    spec: SubmissionSpec,
    identity: str,
    check: Callable[[Mapping[str, object]], list[Problem]] | None,
    *,
    max_body_bytes: int,
) -> RowsToRequests:
    answer = spec.json_schema["properties"] if spec.json_schema else {}
    check_source_columns(
        schema.names,
        key=spec.key,
        passthrough=spec.passthrough,
        answer=list(answer) if isinstance(answer, dict) else [],
    )
    if spec.custom_id_from is not None and spec.custom_id_from not in schema.names:
        raise SourceColumnsError(
            f"custom_id_from={spec.custom_id_from!r} is not a column of the source. Nothing was sent."
        )
    return RowsToRequests(
        identity=identity,
        template=None if spec.params is None else compile_request(spec.params, columns=schema.names),
        build_request=spec.build_request,
        check=check,
        key=spec.key,
        passthrough=spec.passthrough,
        digest_context=_DIGEST_CONTEXT + ",".join(spec.betas).encode(),
        custom_id_from=spec.custom_id_from,
        samples_per_row=spec.samples_per_row,
        on_null=spec.on_null,
        on_invalid_row=spec.on_invalid_row,
        max_body_bytes=max_body_bytes,
    )


def _finish_taken(
    folder: ManifestFolder, passed: _Passed, *, first_index: int, identity: str
) -> Iterator[ShardRecord]:
    if passed.takeover is None:
        return
    for index, (source, writer) in enumerate(sorted(passed.taken.items()), start=first_index):
        taken = passed.takeover.sources[source]
        yield writer.finish(folder, index=index, identity=identity, taken=taken)


def _small_batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in slices of about :data:`_SLICE_BYTES`: requests are several times their rows."""
    for rows in reader:
        step = max(1, _SLICE_BYTES * rows.num_rows // max(rows.nbytes, 1))
        for start in range(0, rows.num_rows, step):
            yield rows.slice(start, step)


def _write_shards(
    folder: ManifestFolder,
    reader: pa.RecordBatchReader,
    how: RowsToRequests,
    *,
    scratch: Path,
    cutter: ShardCutter,
    passed: _Passed,
    asked: Asked | None,
    prices: PriceList | None,
) -> Iterator[ShardRecord]:
    schema = keys_schema(reader.schema, key=how.key, passthrough=how.passthrough)
    with ExitStack() as stack:
        writer = ShardsWriter(
            folder.folder,
            scratch,
            round_index=0,
            identity=how.identity,
            keys_schema=schema,
            cutter=cutter,
            asked=asked,
            prices=prices,
        )
        stack.callback(writer.close)
        for rows in _small_batches(reader):
            encoded = rows_to_requests(rows, how, first_row=len(passed.hashes))
            encoded = passed.to_send(encoded, schema, scratch)
            yield from writer.write(encoded.requests, encoded.keys)
        yield writer.finish()
