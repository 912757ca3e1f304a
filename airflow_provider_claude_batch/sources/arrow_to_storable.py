"""
Record batches as a database or a file hands them over, to types that Parquet keeps and every reader knows.

Whatever Parquet would change in silence, or refuse only when the snapshot is half written, is decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from airflow_provider_claude_batch.core.rows_to_requests import row_key
from airflow_provider_claude_batch.errors import QueryError, RowError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa


def to_storable(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, chunk_rows: int, key: Sequence[str] = ()
) -> pa.RecordBatchReader:
    """
    Return a reader of the same rows in storable types; see ``docs/types.md``.

    Lazy, one record batch at a time. A column that is storable already is passed on without a copy, once its
    dates are found to lie in the years 1 to 9999, its decimals to have no more digits than declared, and its
    text to be valid UTF-8, which neither Parquet nor Arrow's C interface promises.

    :param schema: Schema of all ``batches``, or wider.
    :param chunk_rows: Rows of one record batch, at most; a larger one is cut, without a copy.
    :param key: Columns that name a row in a message.
    :raises QueryError: A column has a type that cannot be stored, a value that its type cannot hold, or the
        source failed on the way. No value is quoted.
    :raises RowError: From the reader: text that is not valid Unicode.
    """
    import pyarrow as pa

    target = pa.schema([pa.field(field.name, _storable(field.name, field.type)) for field in schema])
    return pa.RecordBatchReader.from_batches(target, _converted(target, batches, chunk_rows, key))


def _converted(
    target: pa.Schema, batches: Iterable[pa.RecordBatch], chunk_rows: int, key: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    first_row = 0
    try:
        for batch in batches:
            for start in range(0, max(batch.num_rows, 1), chunk_rows):
                arrays = batch.slice(start, chunk_rows).columns
                columns = [_column(field, array) for field, array in zip(target, arrays, strict=True)]
                rows = pa.RecordBatch.from_arrays(columns, schema=target)
                _check_text(rows, key, first_row)
                yield rows
                first_row += rows.num_rows
    except (pa.ArrowException, OSError) as error:
        # Arrow hands on what the source says as an error without a number; the system's own have one.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise QueryError(
            f"Reading the rows failed: {type(error).__name__}: its message is withheld, since it may quote "
            "a row. Nothing was sent."
        ) from None


def _check_text(rows: pa.RecordBatch, key: Sequence[str], first_row: int) -> None:
    import pyarrow as pa

    for field, array in zip(rows.schema, rows.columns, strict=True):
        if _holds_text(field.type):
            try:
                array.validate(full=True)
            except pa.ArrowInvalid:
                row = next((i for i in range(len(array)) if not _is_readable(array, i)), 0)
                named = all(_is_readable(rows.column(name), row) for name in key)
                raise RowError(
                    f"column {field.name} holds text that is not valid Unicode",
                    row=first_row + row,
                    key=row_key(rows, key, row) if key and named else None,
                ) from None


def _holds_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or any(_holds_text(kind.field(i).type) for i in range(kind.num_fields))


def _is_readable(array: pa.Array, row: int) -> bool:
    try:
        array[row].as_py()
    except UnicodeDecodeError:
        return False
    return True


def _storable(name: str, kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    types = pa.types
    if types.is_union(kind) or types.is_run_end_encoded(kind):
        raise _not_storable(name, kind)
    if isinstance(kind, pa.BaseExtensionType):
        return kind if kind == pa.uuid() else _storable(name, kind.storage_type)
    if types.is_dictionary(kind):
        return _storable(name, kind.value_type)
    return _storable_nested(name, kind) if types.is_nested(kind) else _storable_flat(kind)


def _storable_flat(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    types = pa.types
    if types.is_null(kind) or types.is_interval(kind):
        return pa.string()
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_binary_view(kind):
        return pa.binary()
    if types.is_timestamp(kind):
        return pa.timestamp("ms" if kind.unit == "s" else kind.unit, "UTC" if kind.tz else None)
    return pa.time32("ms") if types.is_time32(kind) else kind


def _storable_nested(name: str, kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    types = pa.types
    children = [kind.field(i) for i in range(kind.num_fields)]
    if types.is_map(kind):
        return pa.map_(_storable(name, kind.key_type), _storable(name, kind.item_type))
    if any(types.is_interval(child.type) for child in children):
        raise _not_storable(name, kind)
    if types.is_struct(kind):
        return pa.struct([child.with_type(_storable(name, child.type)) for child in children])
    item = pa.field("item", _storable(name, kind.value_type))
    if types.is_fixed_size_list(kind):
        return pa.list_(item, kind.list_size)
    return pa.list_(item)


def _not_storable(name: str, kind: pa.DataType) -> QueryError:
    return QueryError(
        f"Column {name} is {kind}, which Parquet cannot hold. Cast it in the query. Nothing was sent."
    )


def _column(field: pa.Field, array: pa.Array) -> pa.Array:
    import pyarrow as pa

    try:
        converted = _convert(array, field.type)
        if pa.types.is_decimal(field.type):
            converted.validate(full=True)
    except (pa.ArrowException, OverflowError):
        raise QueryError(
            f"Column {field.name} holds a value that does not fit {field.type}. Cast it in the query. "
            "Nothing was sent."
        ) from None
    if (pa.types.is_date(field.type) or pa.types.is_timestamp(field.type)) and not _is_in_calendar(converted):
        raise QueryError(
            f"Column {field.name} holds a date outside the years 1 to 9999, or an infinite one. Replace "
            "it in the query. Nothing was sent."
        )
    return converted


def _convert(array: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if array.type == kind:
        return array
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pa.types.is_interval(array.type):
        return pa.array([value and _iso_duration(*value) for value in array.to_pylist()], kind)
    if kind == pa.uuid() and pa.types.is_string(array.type):
        return pa.array([value and UUID(value).bytes for value in array.to_pylist()], kind)
    return array.cast(kind)


def _iso_duration(months: int, days: int, nanoseconds: int) -> str:
    """Return ``P1M2DT3.5S``: the parts as the database holds them, each with its own sign."""
    seconds = f"{abs(nanoseconds) // 10**9}.{abs(nanoseconds) % 10**9:09}".rstrip("0").rstrip(".")
    return f"P{months}M{days}DT{'-' if nanoseconds < 0 else ''}{seconds}S"


def _is_in_calendar(array: pa.Array) -> bool:
    """Return whether Python, and so the row template, can say every date and time of a column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    days = array if pa.types.is_date32(array.type) else array.cast(pa.date32(), safe=False)
    ends = pc.min_max(days.view(pa.int32()))
    first, last = ends["min"].as_py(), ends["max"].as_py()
    return first is None or (first >= _FIRST_DAY and last <= _LAST_DAY)


#: 0001-01-01 and 9999-12-31, in days since 1970-01-01.
_FIRST_DAY, _LAST_DAY = -719162, 2932896
