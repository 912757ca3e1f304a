"""
Rows to finished Parquet files on local disk, cut by size and by partition. The same rows give the same bytes.

Imports pyarrow inside functions only: this module is reached from a Dag file.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

#: Bytes of Arrow memory after which a row group is written. More take memory, and in a landing time: the next
#: blocks are decoded meanwhile, and then wait.
ROW_GROUP_BYTES = 6_000_000


@dataclass(frozen=True, slots=True)
class LocalDataset:
    """
    The rows that are about to be published, on local disk.

    :param files: Parquet files that together hold every row once, in no order.
    :param schema: Of each of them.
    :param scratch: Folder for what is needed on the way.
    """

    files: list[Path]
    schema: pa.Schema
    scratch: Path


@dataclass(frozen=True, slots=True)
class LocalFile:
    """
    One finished file.

    :param path: Where it lies.
    :param name: Path below the dataset's prefix, such as ``lang=de/part-00000.parquet``.
    """

    path: Path
    name: str
    rows: int
    bytes: int


def rows_to_files(
    rows: Iterable[tuple[str, pa.Table]], schema: pa.Schema, folder: Path, *, max_file_bytes: int | None
) -> list[LocalFile]:
    """
    Write rows as Parquet files, compressed with zstd.

    A file is followed by another once it has grown to ``max_file_bytes``, so it is larger by one row group at
    most. In memory: one row group, 6 MB of Arrow.

    :param rows: Tables, each with its folder: ``column=value/``, or empty. All of one folder follow each
        other.
    :param schema: Of the files; rows with other types for the same columns are cast.
    :param folder: Takes the files.
    :param max_file_bytes: ``None`` for one file, however large.
    :return: At least one file: where there is no row, one without rows.
    """
    files: list[LocalFile] = []
    for below, pairs in groupby(_row_groups(rows), key=itemgetter(0)):
        groups = (tables for _, tables in pairs)
        for number, first in enumerate(groups):
            name = f"{below}part-{number:05d}.parquet"
            files.append(_write_file(first, groups, schema, folder, name=name, max_bytes=max_file_bytes))
    if not files:
        empty = [schema.empty_table()]
        files.append(_write_file(empty, iter(()), schema, folder, name="part-00000.parquet", max_bytes=None))
    return files


def _row_groups(rows: Iterable[tuple[str, pa.Table]]) -> Iterator[tuple[str, list[pa.Table]]]:
    """Yield the tables of each row group, in a list that its writer empties."""
    for below, pairs in groupby(rows, key=itemgetter(0)):
        pending: list[pa.Table] = []
        for _, table in pairs:
            pending.append(table)
            if sum(one.nbytes for one in pending) >= ROW_GROUP_BYTES:
                yield below, pending
                pending = []
        if any(table.num_rows for table in pending):
            yield below, pending


def _write_file(
    first: list[pa.Table],
    more: Iterator[list[pa.Table]],
    schema: pa.Schema,
    folder: Path,
    *,
    name: str,
    max_bytes: int | None,
) -> LocalFile:
    """Write row groups until there are no more or the file is full."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    tables: list[pa.Table] | None = first
    with pa.OSFile(str(path), "wb") as sink, pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        while tables is not None:
            rows += _write_row_group(writer, tables, schema)
            is_full = max_bytes is not None and sink.tell() >= max_bytes
            tables = None if is_full else next(more, None)
    return LocalFile(path, name, rows, path.stat().st_size)


def _write_row_group(writer: pq.ParquetWriter, tables: list[pa.Table], schema: pa.Schema) -> int:
    """Write tables and let go of them, so that they are not in memory while the next ones are gathered."""
    import pyarrow as pa

    # Of one column all batches have the same dictionary, or the file would hold it as plain values.
    group = pa.concat_tables(tables).cast(schema).unify_dictionaries()
    tables.clear()
    writer.write_table(group, row_group_size=group.num_rows or None)
    rows = int(group.num_rows)
    del group
    # Or what a group leaves free in pieces stays with the process, and grows with the dataset.
    pa.default_memory_pool().release_unused()
    return rows
