"""
Rows of Python values to Arrow record batches of one schema.

The schema is that of the first chunk: a driver without type information shows it in no other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from airflow_provider_claude_batch.errors import QueryError, RowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from airflow_provider_claude_batch.sources.dbapi import Row

#: Digits of a decimal column whose declared precision is not known.
_DECIMAL_DIGITS = 38


def rows_to_batches(names: Sequence[str], chunks: Iterable[Sequence[Row]]) -> Iterator[pa.RecordBatch]:
    """
    Turn chunks of rows into record batches; at least one comes, empty where there are no rows.

    Order is kept, and one chunk is in memory at a time. See :func:`infer_columns` for the types.

    :param names: Columns of every row.
    :param chunks: Rows, each a sequence of as many values.
    :raises QueryError: A later value does not fit the type that its column has in the first chunk.
    """
    to_batch: Callable[[Sequence[Row], int], pa.RecordBatch] | None = None
    read = 0
    for chunk in chunks:
        if to_batch is None:
            to_batch = infer_columns(names, chunk)
        yield to_batch(chunk, read)
        read += len(chunk)
    if to_batch is None:
        yield infer_columns(names, [])([], 0)


def infer_columns(
    names: Sequence[str], rows: Sequence[Row], *, key: Sequence[str] = ()
) -> Callable[[Sequence[Row], int], pa.RecordBatch]:
    """
    Return a function from rows, and the number of the first of them, to a record batch of an inferred schema.

    A column of nulls becomes a string column; decimals get 38 digits and the scale of these rows; a date and
    time with a zone is kept in UTC.

    :param names: Columns of every row.
    :param rows: The first rows, each a sequence of as many values; none makes string columns.
    :param key: Columns that name a row in a message.
    :raises QueryError: Arrow has no type for a column, or, from the function, a value does not fit its type.
    :raises RowError: From the function: text that is not valid Unicode.
    """
    import pyarrow as pa

    columns = _columns(names, rows)
    schema = pa.schema(
        [pa.field(name, _inferred(name, column)) for name, column in zip(names, columns, strict=True)]
    )
    return partial(_rows_to_batch, schema, tuple(key))


def _columns(names: Sequence[str], rows: Sequence[Row]) -> list[Sequence[object]]:
    return list(zip(*rows, strict=True)) if rows else [() for _ in names]


def _rows_to_batch(
    schema: pa.Schema, key: Sequence[str], rows: Sequence[Row], first_row: int
) -> pa.RecordBatch:
    import pyarrow as pa

    columns = _columns(schema.names, rows)
    try:
        arrays = [_array(field, column) for field, column in zip(schema, columns, strict=True)]
    except UnicodeEncodeError:
        values = dict(zip(schema.names, columns, strict=True))
        raise not_unicode(values, key=key, first_row=first_row) from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _inferred(name: str, values: Sequence[object]) -> pa.DataType:
    import pyarrow as pa

    if any(isinstance(value, UUID) for value in values):
        return pa.uuid()
    try:
        kind = pa.infer_type(values)
    except (pa.ArrowException, OverflowError):
        raise QueryError(
            f"Column {name} holds values of kinds that do not fit one Arrow type. Cast it in the query. "
            "Nothing was sent."
        ) from None
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_decimal128(kind):
        return pa.decimal128(_DECIMAL_DIGITS, kind.scale)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    return kind


def _array(field: pa.Field, values: Sequence[object]) -> pa.Array:
    import pyarrow as pa

    try:
        if field.type == pa.uuid():
            return pa.array([_uuid_bytes(value) for value in values], field.type)
        return pa.array(values, field.type)
    except UnicodeEncodeError:
        raise
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        raise QueryError(
            f"Column {field.name} is {field.type} in the first rows, and a later value is not. Cast it in "
            "the query. Nothing was sent."
        ) from None


def _uuid_bytes(value: object) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, UUID):
        raise TypeError("not a UUID")
    return value.bytes


def not_unicode(
    columns: Mapping[str, Sequence[object]], *, key: Sequence[str], first_row: int
) -> QueryError | RowError:
    """
    Return the error of the first row with text that UTF-8 cannot carry, such as a lone surrogate.

    :param columns: Python values by column.
    :param key: Columns that name the row.
    :param first_row: Number of the first of these rows in the source, from 0.
    """
    found = [
        (row, name)
        for name, values in columns.items()
        if (row := next((i for i, value in enumerate(values) if not _is_unicode(value)), None)) is not None
    ]
    if not found:
        return QueryError("The rows hold text that is not valid Unicode. Nothing was sent.")
    row, column = min(found)
    known = [(name, columns[name][row]) for name in key if name in columns]
    said = ", ".join(f"{name}={value}" for name, value in known if _is_unicode(value))
    return RowError(
        f"column {column} holds text that is not valid Unicode", row=first_row + row, key=said or None
    )


def _is_unicode(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_unicode, [*value, *value.values()]))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_unicode, value))
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True
