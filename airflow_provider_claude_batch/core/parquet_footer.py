"""
The footers of Parquet files: where row groups lie, and the footer of a file that they are copied into.

https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift, read 2026-11-26. pyarrow
reads and writes row groups, and has no way to copy one as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.thrift_compact import (
    Fields,
    from_int,
    from_structs,
    to_fields,
    to_int,
    to_struct,
    to_structs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The first bytes of a file and its last ones. Before the last ones stands the size of the footer.
MAGIC = b"PAR1"
SIZE_BYTES = 4

# Numbers of fields.
_FILE_VERSION, _FILE_SCHEMA, _FILE_ROWS, _FILE_ROW_GROUPS, _FILE_METADATA, _FILE_ORDERS = 1, 2, 3, 4, 5, 7
_GROUP_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_ORDINAL = 1, 3, 5, 7
_CHUNK_OFFSET, _CHUNK_COLUMN = 2, 3
_COLUMN_BYTES, _COLUMN_DATA, _COLUMN_INDEX, _COLUMN_DICTIONARY = 7, 9, 10, 11

#: Of a chunk and of a column: what lies elsewhere in the file than the pages. Readers do without it.
_CHUNK_ELSEWHERE = (4, 5, 6, 7)
_COLUMN_ELSEWHERE = (14, 15)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """
    One row group.

    :param start: Of its pages in the file.
    :param end: Behind them.
    """

    rows: int
    start: int
    end: int
    _fields: Fields

    def moved(self, distance: int) -> bytes:
        """Return its part of the footer of a file in which its pages lie so many bytes further behind."""
        fields = {**self._fields}
        chunks = [_moved_chunk(chunk, distance) for chunk in to_structs(fields[_GROUP_COLUMNS][1])]
        fields[_GROUP_COLUMNS] = fields[_GROUP_COLUMNS][0], from_structs(chunks)
        _move(fields, (_GROUP_OFFSET,), distance)
        fields.pop(_GROUP_ORDINAL, None)
        return to_struct(fields)


@dataclass(frozen=True, slots=True)
class Footer:
    """One file's footer."""

    _fields: Fields

    @classmethod
    def of(cls, data: bytes) -> Footer:
        """
        Read a footer.

        :param data: What stands between the pages and the size.
        :raises ValueError: It is none.
        """
        return cls(to_fields(data))

    @property
    def columns(self) -> tuple[bytes | None, ...]:
        """What says which columns there are and how they are read; row groups move between equal ones."""
        shared = (_FILE_VERSION, _FILE_SCHEMA, _FILE_METADATA, _FILE_ORDERS)
        return tuple(self._fields[number][1] if number in self._fields else None for number in shared)

    def row_groups(self) -> list[RowGroup]:
        """Return the row groups, in order."""
        return [_row_group(to_fields(group)) for group in to_structs(self._fields[_FILE_ROW_GROUPS][1])]

    def with_row_groups(self, moved: Sequence[bytes], *, rows: int) -> bytes:
        """
        Return the footer of a file that has other row groups of the same columns.

        :param moved: As :meth:`RowGroup.moved` returns them.
        :param rows: Of all of them.
        """
        fields = {**self._fields}
        fields[_FILE_ROWS] = fields[_FILE_ROWS][0], from_int(rows)
        fields[_FILE_ROW_GROUPS] = fields[_FILE_ROW_GROUPS][0], from_structs(moved)
        return to_struct(fields)


def _row_group(fields: Fields) -> RowGroup:
    starts, ends = [], []
    for chunk in to_structs(fields[_GROUP_COLUMNS][1]):
        column = to_fields(to_fields(chunk)[_CHUNK_COLUMN][1])
        offsets = [
            to_int(column[number][1]) for number in (_COLUMN_DICTIONARY, _COLUMN_DATA) if number in column
        ]
        start = min(offset for offset in offsets if offset)
        starts.append(start)
        ends.append(start + to_int(column[_COLUMN_BYTES][1]))
    return RowGroup(to_int(fields[_GROUP_ROWS][1]), min(starts), max(ends), fields)


def _moved_chunk(chunk: bytes, distance: int) -> bytes:
    fields = to_fields(chunk)
    column = to_fields(fields[_CHUNK_COLUMN][1])
    _move(column, (_COLUMN_DATA, _COLUMN_INDEX, _COLUMN_DICTIONARY), distance)
    _drop(column, _COLUMN_ELSEWHERE)
    fields[_CHUNK_COLUMN] = fields[_CHUNK_COLUMN][0], to_struct(column)
    _move(fields, (_CHUNK_OFFSET,), distance)
    _drop(fields, _CHUNK_ELSEWHERE)
    return to_struct(fields)


def _move(fields: Fields, numbers: Sequence[int], distance: int) -> None:
    for number in numbers:
        if number in fields:
            kind, value = fields[number]
            # 0 says that there is none.
            fields[number] = kind, from_int(offset + distance if (offset := to_int(value)) else 0)


def _drop(fields: Fields, numbers: Sequence[int]) -> None:
    for number in numbers:
        fields.pop(number, None)
