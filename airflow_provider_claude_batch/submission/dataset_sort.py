"""
Rows of any number in order, with pyarrow and local disk only: sorted runs, then a merge.

The order is stable: rows with the same values stay as they came. Imports pyarrow inside functions only: this
module is reached from a Dag file.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

#: Bytes of Arrow memory that are sorted at once.
RUN_BYTES = 32_000_000
#: Of these, what the merge takes from a run at a time.
BLOCK_BYTES = 500_000


@dataclass(frozen=True, slots=True)
class SortedRuns:
    """
    Rows on local disk, sorted run by run.

    :param path: Parquet file with the rows of all runs; a row group is a block of one run.
    :param columns: By which the rows of a run are sorted, ascending, nulls last.
    :param blocks: Row groups of each run, in order.
    """

    path: Path
    columns: Sequence[str]
    blocks: list[range] = field(default_factory=list)


def check_sortable(schema: pa.Schema, columns: Sequence[str]) -> None:
    """
    Raise where rows cannot be sorted by some columns.

    :raises DatasetError: Names the column.
    """
    import pyarrow as pa

    for column in columns:
        if column not in schema.names:
            raise DatasetError(
                f"there is no column {column} to sort or partition by; there are "
                f"{', '.join(schema.names)}. The destination keeps what it had, and a retry pays for nothing."
            )
        kind = schema.field(column).type
        if pa.types.is_nested(kind):
            raise DatasetError(
                f"column {column} is {kind}, and rows cannot be sorted or partitioned by it. The destination "
                "keeps what it had, and a retry pays for nothing."
            )


def rows_to_runs(
    rows: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, columns: Sequence[str]
) -> SortedRuns:
    """
    Write rows to one local file, in runs that are sorted each.

    In memory: one run, 32 MB of Arrow, twice.

    :param path: Of the file.
    :param columns: By which to sort.
    """
    import pyarrow.parquet as pq

    runs = SortedRuns(path, columns)
    start = 0
    with pq.ParquetWriter(path, schema, compression="lz4", write_statistics=False) as writer:
        for table in _cut(rows, RUN_BYTES):
            ordered = table.take(_sort_indices(_sort_keys(table, columns)))
            rows_per_block = max(1, table.num_rows * BLOCK_BYTES // max(1, table.nbytes))
            writer.write_table(ordered, row_group_size=rows_per_block)
            end = start + math.ceil(table.num_rows / rows_per_block)
            runs.blocks.append(range(start, end))
            start = end
    return runs


def _cut(rows: Iterable[pa.RecordBatch], max_bytes: int) -> Iterator[pa.Table]:
    import pyarrow as pa

    pending: list[pa.RecordBatch] = []
    size = 0
    for batch in rows:
        if not batch.num_rows:
            continue
        pending.append(batch)
        size += batch.nbytes
        if size >= max_bytes:
            yield pa.Table.from_batches(pending).unify_dictionaries()
            pending, size = [], 0
    if pending:
        yield pa.Table.from_batches(pending).unify_dictionaries()


def merge_runs(runs: SortedRuns) -> Iterator[pa.Table]:
    """
    Yield the rows of all runs in one order.

    In memory: two blocks of each run, 1 MB for every 32 MB of rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(runs.path) as file:
        cursors = [_Cursor(file, runs.columns, blocks) for blocks in runs.blocks]
        while cursors := [cursor for cursor in cursors if cursor.fill()]:
            taken = pa.concat_tables(_take_next(cursors)).unify_dictionaries()
            yield taken.take(_sort_indices(_sort_keys(taken, runs.columns)))


def _take_next(cursors: Sequence[_Cursor]) -> list[pa.Table]:
    """
    Take from every run the rows that no row of a block still on disk can come before.

    Those are the rows up to the smallest last row of the blocks at hand; of equal rows, those of an earlier
    run come first, so a later run keeps its own until that run has none any more.
    """
    bounds = [cursor.last_key() if cursor.has_more else None for cursor in cursors]
    bound, of = min(
        ((key, at) for at, key in enumerate(bounds) if key is not None), default=(None, len(cursors))
    )
    return [cursor.take(bound, includes_equal=at <= of) for at, cursor in enumerate(cursors)]


#: Comparable as Arrow sorts: values, then NaN, then null.
_Key = tuple[tuple[int, object], ...]


@dataclass(slots=True)
class _Cursor:
    """Where the merge is in one run: the rows from ``start`` of its block, and the blocks after it."""

    file: pq.ParquetFile
    columns: Sequence[str]
    blocks: range
    block: pa.Table | None = None
    keys: pa.Table | None = None
    start: int = 0

    @property
    def has_more(self) -> bool:
        """There are blocks after this one."""
        return bool(self.blocks)

    def fill(self) -> bool:
        """Read the next block where this one is used up; return whether there are rows."""
        if self.block is not None and self.start < self.block.num_rows:
            return True
        if not self.blocks:
            return False
        self.block = self.file.read_row_group(self.blocks[0])
        self.keys = _sort_keys(self.block, self.columns)
        self.blocks = self.blocks[1:]
        self.start = 0
        return True

    def last_key(self) -> _Key:
        """Return the key of the last row of the block."""
        return self._key(self._rows() - 1)

    def take(self, bound: _Key | None, *, includes_equal: bool) -> pa.Table:
        """Return the rows up to ``bound`` and go behind them; all rows of the block for ``None``."""
        rows = self._rows()
        search = bisect_right if includes_equal else bisect_left
        end = rows if bound is None else search(range(rows), bound, lo=self.start, key=self._key)
        taken = self._block().slice(self.start, end - self.start)
        self.start = end
        return taken

    def _block(self) -> pa.Table:
        if self.block is None:
            raise ValueError("a cursor is read before it was filled")
        return self.block

    def _rows(self) -> int:
        return int(self._block().num_rows)

    def _key(self, position: int) -> _Key:
        if self.keys is None:
            return ()
        return tuple(_ranked(column[position].as_py()) for column in self.keys.columns)


def _ranked(value: object) -> tuple[int, object]:
    if value is None:
        return 2, 0
    if isinstance(value, float) and math.isnan(value):
        return 1, 0
    return 0, value


def _sort_keys(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Return the columns in types that Arrow sorts and Python compares the same way."""
    import pyarrow as pa

    return pa.table({f"by_{i}": _sortable(table.column(name)) for i, name in enumerate(columns)})


def _sortable(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
    if pa.types.is_dictionary(kind):
        column = pc.cast(column, kind.value_type)
    if pa.types.is_temporal(kind):
        # A date32 and a time32 are as wide as an int32, everything else as an int64.
        column = column.cast(f"int{kind.bit_width}")
    return column.combine_chunks()


def _sort_indices(keys: pa.Table) -> pa.Array:
    import pyarrow.compute as pc

    return pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
