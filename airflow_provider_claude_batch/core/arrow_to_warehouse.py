"""
Record batches of the published Parquet to what a database is given: SQL types, COPY text, Python rows.

Imports pyarrow: whatever a Dag file reaches imports this module inside functions only.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from airflow_provider_claude_batch.core.arrow_to_json import nested_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime, time, timedelta
    from decimal import Decimal

#: A NUL as JSON writes it, behind an even number of backslashes.
_JSON_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

_COPY = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")


_KINDS: Mapping[str, Callable[[pa.DataType], bool]] = {
    "bool": pa.types.is_boolean,
    "int16": lambda kind: kind in (pa.int8(), pa.uint8(), pa.int16()),
    "int32": lambda kind: kind in (pa.uint16(), pa.int32()),
    "int64": lambda kind: kind in (pa.uint32(), pa.int64()),
    "uint64": pa.types.is_uint64,
    "float32": lambda kind: kind in (pa.float16(), pa.float32()),
    "float64": pa.types.is_float64,
    "decimal": pa.types.is_decimal,
    "date": pa.types.is_date,
    "timestamptz": lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None,
    "timestamp": pa.types.is_timestamp,
    "time": pa.types.is_time,
    "duration": pa.types.is_duration,
    "binary": lambda kind: pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind),
    "json": pa.types.is_nested,
}


def kind_of(kind: pa.DataType) -> str:
    """Return the name of a type in :attr:`~.sql_dialect.SqlDialect.types`; ``text`` for what has none."""
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if kind == pa.uuid():
        return "uuid"
    for name, is_of_kind in _KINDS.items():
        if is_of_kind(kind):
            return name
    return "text"


def sql_type(kind: pa.DataType, types: Mapping[str, str]) -> str:
    """
    Return the SQL type of a column that is to hold a type's values.

    :param types: A dialect's.
    """
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    digits = (value.precision, value.scale) if pa.types.is_decimal(value) else ()
    return types[kind_of(kind)].format(*digits)


def to_copy_text(rows: pa.RecordBatch) -> tuple[bytes, int]:
    """
    Return rows as Postgres's ``COPY ... (format csv)`` reads them, and the number of values with a NUL.

    Postgres has no character for NUL, which becomes U+FFFD. Lists, structs and maps are JSON. In memory:
    the rows twice.
    """
    columns = [_to_text(column) for column in rows.columns]
    nuls = sum(pc.sum(pc.match_substring(column, "\0"), min_count=0).as_py() for column in columns)
    if nuls:
        columns = [pc.replace_substring(column, "\0", "\ufffd") for column in columns]
    sink = io.BytesIO()
    pyarrow.csv.write_csv(
        pa.RecordBatch.from_arrays(columns, names=[f"c{i}" for i in range(len(columns))]), sink, _COPY
    )
    return sink.getvalue(), nuls


def _to_text(column: pa.Array) -> pa.Array:
    kind = kind_of(column.type)
    if kind == "json":
        texts = nested_to_json(column)
        return pa.array(
            [None if text is None else _JSON_NUL.sub("\\1\ufffd", text) for text in texts], pa.string()
        )
    if kind == "uuid":
        return pa.array([value and str(value) for value in column.to_pylist()], pa.string())
    if kind == "binary":
        values = cast("list[bytes | None]", column.to_pylist())
        return pa.array([None if value is None else rf"\x{value.hex()}" for value in values], pa.string())
    if kind == "duration":
        amounts = column.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.string())
        return pc.binary_join_element_wise(amounts, "microseconds", " ")
    if kind == "timestamptz":
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    return column.cast(pa.string())


def to_python_rows(rows: pa.RecordBatch, *, as_plain: bool) -> list[tuple[object, ...]]:
    """
    Return rows as a PEP 249 driver binds them; lists, structs and maps are JSON.

    :param as_plain: Only numbers, text and bytes, since the driver binds nothing else: dates and times are
        ISO 8601 text, in UTC where there is a zone; a decimal its digits, a duration its seconds.
    """
    columns = [_to_python(column, as_plain=as_plain) for column in rows.columns]
    return list(zip(*columns, strict=True))


def _to_python(column: pa.Array, *, as_plain: bool) -> Sequence[object]:
    kind = kind_of(column.type)
    if kind == "json":
        return nested_to_json(column)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if kind == "timestamptz":
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    # Python has no nanoseconds; pandas' types, which pyarrow gives then, no driver binds.
    if kind in ("timestamp", "timestamptz", "duration", "time") and column.type.unit == "ns":
        column = column.cast(_in_microseconds(column.type), safe=False)
    values: list[object] = column.to_pylist()
    if kind == "uuid":
        return [value and str(value) for value in values]
    if as_plain and (plain := _PLAIN.get(kind)) is not None:
        return [None if value is None else plain(value) for value in values]
    return values


def _in_microseconds(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.duration("us") if pa.types.is_duration(kind) else pa.time64("us")


_PLAIN: Mapping[str, Callable[[object], object]] = {
    "decimal": lambda value: format(cast("Decimal", value), "f"),
    "date": lambda value: cast("date", value).isoformat(),
    "timestamp": lambda value: cast("datetime", value).isoformat(sep=" "),
    "timestamptz": lambda value: cast("datetime", value).isoformat(sep=" "),
    "time": lambda value: cast("time", value).isoformat(),
    "duration": lambda value: cast("timedelta", value).total_seconds(),
}
