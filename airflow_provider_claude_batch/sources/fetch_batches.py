"""Rows fetched in chunks whose size follows what the rows weigh, as a reader of record batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from airflow_provider_claude_batch.sources.dbapi import Row

#: Rows of the first chunk, which shows what a row weighs.
FIRST_ROWS = 1000

#: Arrow bytes of one chunk; what the driver holds besides is a small multiple.
CHUNK_BYTES = 4_000_000


def fetch_batches(
    fetch: Callable[[int], Sequence[Row]],
    columns: Callable[[Sequence[Row]], Callable[[Sequence[Row], int], pa.RecordBatch]],
    *,
    chunk_rows: int,
) -> pa.RecordBatchReader:
    """
    Fetch rows until none are left; at least one record batch comes, empty where there are no rows.

    The first chunk is fetched at once and the others as they are asked for. In memory: one chunk, of at most
    ``chunk_rows`` rows and, as far as the rows before it tell, :data:`CHUNK_BYTES`.

    :param fetch: Fetches as many of the next rows, or fewer where there are no more.
    :param columns: Is shown the first rows and returns what turns rows, and the number of the first of them,
        into record batches of one schema.
    :param chunk_rows: Rows of one record batch, at most.
    """
    import pyarrow as pa

    rows = fetch(min(chunk_rows, FIRST_ROWS))
    to_batch = columns(rows)
    first = to_batch(rows, 0)

    def batches() -> Iterator[pa.RecordBatch]:
        batch, read = first, 0
        while batch.num_rows:
            yield batch
            read += batch.num_rows
            batch = to_batch(fetch(_next_rows(batch, chunk_rows)), read)

    return pa.RecordBatchReader.from_batches(first.schema, batches() if first.num_rows else iter([first]))


def _next_rows(batch: pa.RecordBatch, chunk_rows: int) -> int:
    fitting: int = CHUNK_BYTES * batch.num_rows // max(batch.nbytes, 1)
    return max(1, min(chunk_rows, fitting))
