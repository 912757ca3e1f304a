"""
What a new generation takes over from those before it: requests that are byte for byte what was sent already.

Their answers, there already or still to come, are joined with the new rows; they are not sent again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import RESULTS_KEPT
from airflow_provider_claude_batch.core.manifest import TAKEN, ShardRecord, Taken
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.land_taken import land
from airflow_provider_claude_batch.submission.manifest_folder import require_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq
    from anthropic.types.messages import MessageBatch

    from airflow_provider_claude_batch.core.manifest import BatchRecord
    from airflow_provider_claude_batch.core.rows_to_requests import EncodedRows
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.hooks.listing import Account
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

#: Results that are not landed are taken when their batch is younger: the new generation's own may take a day.
_TAKEN_UNTIL = RESULTS_KEPT - timedelta(days=2)

#: Times that a batch is asked for which the list shows.
_LOOKS = 3

#: Outcomes that were not billed: asking again costs what asking once costs, and may go better.
_NOT_BILLED = ("errored", "expired", "canceled", "missing", "rejected")


@dataclass(slots=True)
class Takeover:
    """
    Answers that earlier generations have, or will have.

    In memory: a digest and a ``custom_id`` for each request that they sent.

    :param sources: Shards of earlier generations that became batches.
    :param free: By request digest: the answers of no row yet, as number of the source and ``custom_id``
        there.
    """

    sources: list[Taken] = field(default_factory=list)
    free: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))

    def split(self, encoded: EncodedRows) -> tuple[EncodedRows, list[tuple[int, pa.RecordBatch]]]:
        """
        Take out of some encoded rows what need not be sent.

        :param encoded: Rows of the new generation.
        :return: The same rows, with those marked that are not sent because they are taken; and these, by
            source, their keys with the ``custom_id`` of the request there.
        """
        if not self.free:
            return encoded, []
        digests = encoded.keys.column("claude_request_digest").to_pylist()
        found: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for position, digest in enumerate(digests):
            if encoded.requests[position] and self.free.get(digest):
                source, custom_id = self.free[digest].pop()
                found[source].append((position, custom_id))
        if not found:
            return encoded, []
        moved = [(source, _keys_there(encoded.keys, rows)) for source, rows in found.items()]
        return _without(encoded, {position for rows in found.values() for position, _ in rows}), moved


def find_takeover(
    earlier: Sequence[ManifestFolder],
    hook: ClaudeBatchHook,
    *,
    account: Account,
    now: datetime,
) -> Takeover:
    """
    Read what earlier generations of a task instance have sent.

    A batch that has ended is landed in its own generation first. A request that was not billed is left out,
    so that it is asked again; so is one whose answer can no longer be had: another workspace's, a batch that
    was deleted, results older than 27 days that were not landed, keys that retention has removed.

    :param earlier: Generations in which every shard is a batch, or will never be one.
    :param hook: Of the connection that sends now.
    :param account: Of its key.
    """
    takeover = Takeover()
    for folder in earlier:
        plan, record = require_plan(folder)
        is_ours = plan.account_differs_from(account.organization_id, account.workspace_id) is None
        for shard in record.shards:
            # What a generation took over itself is found where it was sent.
            batch = None if shard.taken else folder.read_batch(record.index, shard.index)
            if batch is None:
                continue
            if not folder.has_results(record.index, shard.index):
                is_in_time = now - batch.created_at < _TAKEN_UNTIL
                if not (is_ours and is_in_time and _is_or_will_be_landed(folder, shard, batch, hook)):
                    continue
            source = len(takeover.sources)
            takeover.sources.append(
                Taken(manifest=folder.uri, round_index=record.index, shard_index=shard.index)
            )
            for digest, custom_id in _sent(folder, record.index, shard, identity=record.identity):
                takeover.free[digest].append((source, custom_id))
    return takeover


def _is_or_will_be_landed(
    folder: ManifestFolder, shard: ShardRecord, batch: BatchRecord, hook: ClaudeBatchHook
) -> bool:
    """Land a batch that has ended; return whether its answers are there or will be."""
    plan, record = require_plan(folder)
    found = _find(batch.batch_id, hook)
    if found is None or found.archived_at is not None:
        return False
    if found.processing_status == "ended":
        try:
            land(folder, plan, record, shard, hook)
        except ManifestUnreadableError:
            # The keys were removed: there is nothing that the answers could be joined with.
            return False
    return True


def _find(batch_id: str, hook: ClaudeBatchHook) -> MessageBatch | None:
    """Return a batch, or ``None`` where neither it nor the list shows it; one 404 alone is weather."""
    from anthropic import NotFoundError

    for _ in range(_LOOKS):
        try:
            return hook.retrieve_batch(batch_id)
        except NotFoundError:
            listing = hook.list_batches()
            if any(batch.batch_id == batch_id for batch in listing.batches):
                continue
            return None
    raise ManifestUnreadableError(
        f"Batch {batch_id} is listed and cannot be retrieved. Nothing was sent; a retry looks again."
    )


class TakenWriter:
    """
    Write the keys of the rows that are taken from one source, as the rows come.

    :param local: An empty local folder.
    :param number: Of the source.
    """

    def __init__(self, local: Path, *, number: int, keys_schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self._path = local / f"taken-{number}.parquet"
        self._keys: pq.ParquetWriter = pq.ParquetWriter(self._path, keys_schema, compression="zstd")

    def write(self, keys: pa.RecordBatch) -> None:
        """Append keys."""
        self._keys.write_batch(keys)

    def finish(self, folder: ManifestFolder, *, index: int, identity: str, taken: Taken) -> ShardRecord:
        """Put the keys into the manifest folder, as a shard that is not sent."""
        self._keys.close()
        folder.folder.put(self._path, names.keys_path(0, index, identity))
        self._path.unlink()
        return ShardRecord(index=index, requests=0, body_bytes=0, sha256="", taken=taken)

    def close(self) -> None:
        """Close the file; what was written stays in the local folder."""
        self._keys.close()


def _sent(
    folder: ManifestFolder, round_index: int, shard: ShardRecord, *, identity: str
) -> Iterator[tuple[str, str]]:
    """Yield digest and ``custom_id`` of each request whose answer is or may become usable."""
    import pyarrow.parquet as pq

    try:
        with folder.folder.open(names.keys_path(round_index, shard.index, identity)) as file:
            keys = pq.read_table(
                file, columns=["claude_custom_id", "claude_request_digest", "claude_rejected"]
            )
    except FileNotFoundError:
        return
    useless = _not_billed(folder, round_index, shard)
    for row in keys.to_batches(max_chunksize=8192):
        for custom_id, digest, rejected in zip(*(column.to_pylist() for column in row.columns), strict=True):
            if rejected is None and custom_id not in useless:
                yield digest, custom_id


def _not_billed(folder: ManifestFolder, round_index: int, shard: ShardRecord) -> set[str]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not folder.has_results(round_index, shard.index):
        return set()
    with folder.folder.open(names.results_path(round_index, shard.index)) as file:
        rows = pq.read_table(file, columns=["claude_custom_id", "claude_outcome"])
    return set(rows.filter(pc.field("claude_outcome").isin(_NOT_BILLED)).column(0).to_pylist())


def _keys_there(keys: pa.RecordBatch, rows: Sequence[tuple[int, str]]) -> pa.RecordBatch:
    import pyarrow as pa

    taken = keys.take(pa.array([position for position, _ in rows], pa.int64()))
    there = pa.array([custom_id for _, custom_id in rows], pa.string())
    return taken.set_column(0, taken.schema.field(0), there)


def _without(encoded: EncodedRows, positions: set[int]) -> EncodedRows:
    import pyarrow as pa

    column = encoded.keys.schema.get_field_index("claude_rejected")
    reasons = encoded.keys.column(column).to_pylist()
    marked = [TAKEN if position in positions else reason for position, reason in enumerate(reasons)]
    return replace(
        encoded,
        requests=[b"" if position in positions else r for position, r in enumerate(encoded.requests)],
        keys=encoded.keys.set_column(
            column, encoded.keys.schema.field(column), pa.array(marked, pa.string())
        ),
    )
