"""The final rows of a submission: of each row the result of the last round that it was sent in."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.manifest import REPEATED
from airflow_provider_claude_batch.errors import ResultsIncompleteError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.land_taken import BILLED_COLUMNS, zeros
from airflow_provider_claude_batch.submission.next_round import previous_custom_ids
from airflow_provider_claude_batch.submission.parquet_rows import rows_of
from airflow_provider_claude_batch.submission.publish import ReadyFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from airflow_provider_claude_batch.core.manifest import Round, ShardRecord
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder


def final_file(
    folder: ManifestFolder, rounds: Sequence[Round], schema: pa.Schema, *, row_count: int
) -> ReadyFile | None:
    """
    Return the landed file that holds exactly the final rows, in their order, if there is one.

    There is where one batch has answered every row, none went again, and the record of the batch has the
    digest of its file.

    :param rounds: Each of their shards is landed.
    :param schema: Of the final rows.
    :param row_count: How many they are.
    """
    import pyarrow.parquet as pq

    if len(rounds) != 1 or len(rounds[0].shards) != 1:
        return None
    batch = folder.read_batch(rounds[0].index, rounds[0].shards[0].index)
    if batch is None or batch.results_sha256 is None:
        return None
    path = names.results_path(rounds[0].index, rounds[0].shards[0].index)
    with folder.folder.open(path) as file:
        landed = pq.ParquetFile(file)
        is_whole = landed.metadata.num_rows == row_count and landed.schema_arrow.equals(schema)
    if not is_whole:
        return None
    return ReadyFile(f"{folder.uri}/{path}", partial(folder.folder.open, path), batch.results_sha256)


def final_rows(folder: ManifestFolder, rounds: Sequence[Round]) -> Iterator[pa.RecordBatch]:
    """
    Yield every row once, round by round and shard by shard, always in the same order.

    Rows that ask what another row asks come last, with its answer; they cost nothing. In memory: one record
    batch, the ids of the rows that went again after one round, and the keys of one shard's repeated rows.

    :param rounds: Each of their shards is landed.
    """
    yield from _asked_rows(folder, rounds)
    for shard in rounds[0].shards if rounds else ():
        if shard.taken is None:
            yield from _repeated_rows(folder, rounds, shard)


def _asked_rows(folder: ManifestFolder, rounds: Sequence[Round]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for record, following in zip(rounds, [*rounds[1:], None], strict=True):
        went_on = None
        if following is not None:
            went_on = previous_custom_ids(folder, following, folder.sent_shards(following))
        for shard in folder.sent_shards(record) if record.index else record.shards:
            with folder.folder.open(names.results_path(record.index, shard.index)) as file:
                results = pq.ParquetFile(file)
                stays = None
                if went_on is not None:
                    ids = results.read(columns=["claude_custom_id"]).column(0)
                    stays = pc.invert(pc.is_in(ids, value_set=went_on)).combine_chunks()
                start = 0
                for rows in rows_of(results):
                    mask = stays.slice(start, rows.num_rows) if stays is not None else None
                    start += rows.num_rows
                    kept = rows if mask is None else rows.filter(mask)
                    if kept.num_rows:
                        yield pa.RecordBatch.from_arrays(kept.columns, schema=rows.schema)


def _repeated_rows(
    folder: ManifestFolder, rounds: Sequence[Round], shard: ShardRecord
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a shard that were not sent since another row asks the same."""
    import pyarrow.compute as pc

    keys = folder.read_keys(0, shard.index, rounds[0].identity)
    keys = keys.filter(pc.fill_null(pc.equal(keys.column("claude_rejected"), REPEATED), fill_value=False))
    if not keys.num_rows:
        return
    asked = _questions(keys)
    joined = 0
    for rows in _asked_rows(folder, rounds):
        positions = pc.index_in(asked, value_set=_questions(rows))
        found = keys.filter(positions.is_valid())
        if found.num_rows:
            joined += found.num_rows
            yield _with_keys(rows.take(positions.drop_null()), found, manifest=folder.uri)
    if joined != keys.num_rows:
        raise ResultsIncompleteError(
            f"{folder.uri}: {keys.num_rows} rows ask what other rows ask, and {joined} answers were found. "
            "Nothing is published."
        )


def _questions(rows: pa.RecordBatch | pa.Table) -> pa.Array:
    """Return what tells the requests of a submission apart: the digest, and the sample."""
    import pyarrow as pa
    import pyarrow.compute as pc

    samples = rows.column("claude_sample").cast(pa.string())
    joined = pc.binary_join_element_wise(rows.column("claude_request_digest"), samples, "-")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _with_keys(answers: pa.RecordBatch, keys: pa.Table, *, manifest: str) -> pa.RecordBatch:
    import pyarrow as pa

    columns = []
    for field in answers.schema:
        if field.name == "claude_reused_from":
            columns.append(pa.array([manifest] * answers.num_rows, field.type))
        elif field.name in BILLED_COLUMNS:
            columns.append(zeros(answers.num_rows, field.type))
        elif field.name in keys.column_names:
            columns.append(keys.column(field.name).combine_chunks().cast(field.type))
        else:
            columns.append(answers.column(field.name))
    return pa.RecordBatch.from_arrays(columns, schema=answers.schema)


def final_schema(
    folder: ManifestFolder, record: Round, json_schema: Mapping[str, object] | None, *, keep_content: bool
) -> pa.Schema:
    """
    Return the schema of the final rows.

    :param record: The first round.
    """
    import pyarrow.parquet as pq

    from airflow_provider_claude_batch.core.results_to_arrow import published_schema

    with folder.folder.open(names.keys_path(record.index, 0, record.identity)) as file:
        return published_schema(pq.read_schema(file), json_schema, keep_content=keep_content)
