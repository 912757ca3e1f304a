"""
Parquet files to fewer ones: their row groups are copied as they are, which costs a fraction of writing them.

Imports pyarrow inside functions only: this module is reached from a Dag file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_claude_batch.core.parquet_footer import MAGIC, SIZE_BYTES, Footer, RowGroup
from airflow_provider_claude_batch.submission.dataset_files import LocalFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    import pyarrow as pa

    from airflow_provider_claude_batch.submission.parquet_rows import Source

_COPIED_AT_ONCE = 1 << 20


def are_of(schema: pa.Schema, sources: Iterable[Source]) -> bool:
    """Return whether files have exactly the columns that a file of ``schema`` has if it is written here."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.ParquetWriter(sink, schema).close()
    columns = _read_footer(pa.BufferReader(sink.getvalue())).columns
    for opened in sources:
        with opened() as source:
            if _read_footer(source).columns != columns:
                return False
    return True


def join_files(sources: Iterable[Source], folder: Path, *, max_file_bytes: int | None) -> list[LocalFile]:
    """
    Copy the row groups of files, in order, into as few files as there may be.

    A file is followed by another once it has grown to ``max_file_bytes``. In memory: 1 MB, and the footers of
    one source and of one file.

    :param sources: All of the same columns; see :func:`are_of`.
    :param folder: Takes the files.
    :param max_file_bytes: ``None`` for one file, however large.
    :return: None where there is no row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = _row_groups(sources)
    return [
        _join_file(first, groups, folder / f"part-{number:05d}.parquet", max_bytes=max_file_bytes)
        for number, first in enumerate(groups)
    ]


class _Placed(NamedTuple):
    """A row group, and the file in which it is."""

    group: RowGroup
    footer: Footer
    source: BinaryIO


def _row_groups(sources: Iterable[Source]) -> Iterator[_Placed]:
    for opened in sources:
        with opened() as source:
            footer = _read_footer(source)
            for group in footer.row_groups():
                if group.rows:
                    yield _Placed(group, footer, source)


def _join_file(first: _Placed, more: Iterator[_Placed], path: Path, *, max_bytes: int | None) -> LocalFile:
    moved: list[bytes] = []
    rows = 0
    placed: _Placed | None = first
    with path.open("wb") as sink:
        sink.write(MAGIC)
        while placed is not None:
            moved.append(placed.group.moved(sink.tell() - placed.group.start))
            _copy(placed, sink)
            rows += placed.group.rows
            is_full = max_bytes is not None and sink.tell() >= max_bytes
            placed = None if is_full else next(more, None)
        footer = first.footer.with_row_groups(moved, rows=rows)
        sink.write(footer + len(footer).to_bytes(SIZE_BYTES, "little") + MAGIC)
    return LocalFile(path, path.name, rows, path.stat().st_size)


def _copy(placed: _Placed, sink: BinaryIO) -> None:
    group, source = placed.group, placed.source
    source.seek(group.start)
    for start in range(group.start, group.end, _COPIED_AT_ONCE):
        sink.write(source.read(min(_COPIED_AT_ONCE, group.end - start)))


def _read_footer(source: BinaryIO) -> Footer:
    source.seek(-SIZE_BYTES - len(MAGIC), os.SEEK_END)
    size = int.from_bytes(source.read(SIZE_BYTES), "little")
    source.seek(-SIZE_BYTES - len(MAGIC) - size, os.SEEK_END)
    return Footer.of(source.read(size))
