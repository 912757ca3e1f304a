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
from airflow_provider_claude_batch.core.tally import UNANSWERED_OUTCOMES
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.answer_index import AnswerIndex
from airflow_provider_claude_batch.submission.land_taken import land
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from airflow_provider_claude_batch.submission.next_round import previous_custom_ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq
    from anthropic.types.messages import MessageBatch

    from airflow_provider_claude_batch.core.manifest import Round
    from airflow_provider_claude_batch.core.rows_to_requests import EncodedRows
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.hooks.listing import Account
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

#: Results that are not landed are taken when their batch is younger: the new generation's own may take a day.
_TAKEN_UNTIL = RESULTS_KEPT - timedelta(days=2)

#: Times that a batch is asked for which the list shows.
_LOOKS = 3

#: Outcomes that were not billed: asking again costs what asking once costs, and may go better.
_NOT_BILLED = (*UNANSWERED_OUTCOMES, "rejected")


@dataclass(slots=True)
class Takeover:
    """
    Answers that earlier generations or runs have, or will have.

    :param sources: Their shards that became batches.
    :param free: Their answers that no row has yet, by request digest and number of the source.
    """

    free: AnswerIndex
    sources: list[Taken] = field(default_factory=list)

    def split(self, encoded: EncodedRows) -> tuple[EncodedRows, list[tuple[int, pa.RecordBatch]]]:
        """
        Take out of some encoded rows what need not be sent.

        :param encoded: Rows of the new generation.
        :return: The same rows, with those marked that are not sent because they are taken; and these, by
            source, their keys with the ``custom_id`` of the request there.
        """
        if not len(self.free):
            return encoded, []
        digests = encoded.keys.column("claude_request_digest").to_pylist()
        asked = [position for position, request in enumerate(encoded.requests) if request]
        found: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for number, source, custom_id in self.free.take([digests[position] for position in asked]):
            found[source].append((asked[number], custom_id))
        if not found:
            return encoded, []
        moved = [(source, _keys_there(encoded.keys, rows)) for source, rows in found.items()]
        taken = {position for rows in found.values() for position, _ in rows}
        return without_requests(encoded, taken, why=TAKEN), moved


def find_takeover(
    earlier: Sequence[ManifestFolder],
    hook: ClaudeBatchHook,
    *,
    account: Account,
    now: datetime,
    scratch: Path,
) -> Takeover:
    """
    Read what earlier generations of a task instance have sent.

    A batch that has ended is landed in its own generation first. A request that was not billed is left out,
    so that it is asked again; so is one whose answer can no longer be had: another workspace's, a batch that
    was deleted, results older than 27 days that were not landed, keys that retention has removed.

    :param earlier: Generations in which every shard is a batch, or will never be one.
    :param hook: Of the connection that sends now.
    :param account: Of its key.
    :param scratch: An empty local folder, which must last as long as what is returned.
    """
    takeover = Takeover(AnswerIndex(scratch))
    for folder in earlier:
        plan, _ = require_plan(folder)
        is_ours = plan.account_differs_from(account.organization_id, account.workspace_id) is None
        rounds = folder.rounds(plan)
        for record, following in zip(rounds, [*rounds[1:], None], strict=True):
            went_on = _went_on(folder, following)
            for shard in record.shards:
                # What a generation took over itself is found where it was sent.
                batch = None if shard.taken else folder.read_batch(record.index, shard.index)
                if batch is None:
                    continue
                if not folder.has_results(record.index, shard.index):
                    is_in_time = now - batch.created_at < _TAKEN_UNTIL
                    if not (is_ours and is_in_time and _is_or_will_be_landed(folder, record, shard, hook)):
                        continue
                source = len(takeover.sources)
                takeover.sources.append(
                    Taken(manifest=folder.uri, round_index=record.index, shard_index=shard.index)
                )
                takeover.free.add(source, _sent(folder, record, shard, useless=went_on))
    return takeover


def _went_on(folder: ManifestFolder, following: Round | None) -> set[str]:
    """Return the requests of a round whose rows were sent again, by their ids in it."""
    if following is None:
        return set()
    sent = [shard for shard, batch in folder.batches(following) if batch is not None and not shard.taken]
    return set(previous_custom_ids(folder, following, sent).to_pylist())


def _is_or_will_be_landed(
    folder: ManifestFolder, record: Round, shard: ShardRecord, hook: ClaudeBatchHook
) -> bool:
    """Land a batch that has ended; return whether its answers are there or will be."""
    plan, _ = require_plan(folder)
    batch = folder.read_batch(record.index, shard.index)
    found = None if batch is None else _find(batch.batch_id, hook)
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
    folder: ManifestFolder, record: Round, shard: ShardRecord, *, useless: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield digest and ``custom_id`` of each request whose answer is or may become usable."""
    import pyarrow.parquet as pq

    try:
        with folder.folder.open(names.keys_path(record.index, shard.index, record.identity)) as file:
            keys = pq.read_table(
                file, columns=["claude_custom_id", "claude_request_digest", "claude_rejected"]
            )
    except FileNotFoundError:
        return
    useless = useless | _not_billed(folder, record.index, shard)
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


def without_requests(encoded: EncodedRows, positions: set[int], *, why: str) -> EncodedRows:
    """
    Return the same rows, some of them marked as not sent.

    :param why: What is put into ``claude_rejected`` of their keys.
    """
    import pyarrow as pa

    column = encoded.keys.schema.get_field_index("claude_rejected")
    reasons = encoded.keys.column(column).to_pylist()
    marked = [why if position in positions else reason for position, reason in enumerate(reasons)]
    return replace(
        encoded,
        requests=[b"" if position in positions else r for position, r in enumerate(encoded.requests)],
        keys=encoded.keys.set_column(
            column, encoded.keys.schema.field(column), pa.array(marked, pa.string())
        ),
    )
