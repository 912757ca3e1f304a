"""
Sorted rows to partitions: a folder for each value, ``column=value/``, as Hive and its readers know it.

Imports pyarrow inside functions only: this module is reached from a Dag file.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_claude_batch.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

#: Partitions of one dataset; more are taken for a mistake, such as a key among the columns.
MAX_PARTITIONS = 10_000

#: Bytes of a folder's name that every file system and object store takes.
_LONGEST_NAME = 255

#: The folder of null, as Hive calls it.
_NULL = "__HIVE_DEFAULT_PARTITION__"

_WHAT_A_RETRY_DOES = "The destination keeps what it had, and a retry pays for nothing"


def check_partitionable(schema: pa.Schema, columns: Sequence[str]) -> None:
    """
    Raise where a column's values cannot be names of folders.

    :raises DatasetError: Names the column.
    """
    for column in columns:
        kind = schema.field(column).type
        if not _is_partitionable(kind):
            raise DatasetError(
                f"column {column} is {kind}, and rows are partitioned by texts, whole numbers, booleans and "
                f"dates. {_WHAT_A_RETRY_DOES}."
            )


def split_partitions(tables: Iterable[pa.Table], columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """
    Yield rows with the folder of their partition, ``column=value/``.

    :param tables: Sorted by ``columns``.
    :param columns: Of the partitions; without any, the folder is empty.
    :raises DatasetError: There are too many, or a value is too long for a name.
    """
    if not columns:
        yield from (("", table) for table in tables)
        return
    seen: set[str] = set()
    for table in tables:
        start = 0
        for values, count in _groups(table, columns):
            below = _folder(columns, values)
            seen.add(below)
            if len(seen) > MAX_PARTITIONS:
                raise DatasetError(
                    f"partition_by={', '.join(columns)} makes more than {MAX_PARTITIONS:,} partitions. "
                    f"{_WHAT_A_RETRY_DOES}."
                )
            yield below, table.slice(start, count)
            start += count


def _is_partitionable(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(is_text or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_date32(kind))


def _groups(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[list[object], int]]:
    """Yield the values of each group of a sorted table and its number of rows, in the table's order."""
    import pyarrow as pa

    plain = {}
    for name in columns:
        column = table.column(name)
        is_dictionary = pa.types.is_dictionary(column.type)
        plain[name] = column.cast(column.type.value_type) if is_dictionary else column
    groups = pa.table(plain).group_by(list(columns), use_threads=False).aggregate([([], "count_all")])
    for group in groups.to_pylist():
        yield [group[name] for name in columns], group["count_all"]


def _folder(columns: Sequence[str], values: Sequence[object]) -> str:
    names = [f"{_quoted(name)}={_value_text(value)}" for name, value in zip(columns, values, strict=True)]
    for column, name in zip(columns, names, strict=True):
        if len(name) > _LONGEST_NAME:
            raise DatasetError(
                f"a value of column {column} is too long for the name of a folder, so rows cannot be "
                f"partitioned by it. {_WHAT_A_RETRY_DOES}."
            )
    return "".join(f"{name}/" for name in names)


def _value_text(value: object) -> str:
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.date):
        return value.isoformat()
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return quote(text, safe="")
