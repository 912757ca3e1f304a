"""
The rows of Parquet files of any size, in bounded memory.

Imports pyarrow inside functions only: this module is reached from a Dag file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS_AT_ONCE = 4096
_ROWS_OF_FEW_COLUMNS = 65_536


def rows_of(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """
    Yield the rows of an open file, in order. In memory: a compressed row group, and one record batch.

    pyarrow fetches all row groups that it is asked for before the first row, so it is asked for one.

    :param columns: Those that are read, a few; ``None`` for all.
    """
    at_once = _ROWS_AT_ONCE if columns is None else _ROWS_OF_FEW_COLUMNS
    for group in range(file.num_row_groups):
        yield from file.iter_batches(at_once, row_groups=[group], columns=columns, use_threads=False)
