"""
Postgres's own text of a value to Arrow: the same for every driver, and without a Python object a value.

Columns that drivers read alike (see :data:`~.postgres_types.NATIVE_OIDS`) come as Python values.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, cast

from airflow_provider_claude_batch.errors import QueryError
from airflow_provider_claude_batch.sources import postgres_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa

    from airflow_provider_claude_batch.sources.dbapi import Row
    from airflow_provider_claude_batch.sources.postgres_types import PostgresColumn

#: A quoted element, a bare one, or a brace of an inner array.
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,"{}]+)|[{}]', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def postgres_to_batch(columns: Sequence[PostgresColumn]) -> Callable[[Sequence[Row], int], pa.RecordBatch]:
    """
    Return a function from rows to a record batch of these columns' types.

    :raises QueryError: From the function: a value that its Arrow type cannot hold; names the column.
    """
    import pyarrow as pa

    schema = pa.schema(
        [
            pa.field(column.name, pa.list_(column.type) if column.is_array else column.type)
            for column in columns
        ]
    )

    def to_batch(rows: Sequence[Row], _: int) -> pa.RecordBatch:
        by_column = zip(*rows, strict=True) if rows else [() for _ in columns]
        arrays = [_column(column, values) for column, values in zip(columns, by_column, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    return to_batch


def _column(column: PostgresColumn, values: Sequence[object]) -> pa.Array:
    import pyarrow as pa

    try:
        if column.is_array:
            return _arrays(column, cast("Sequence[str | None]", values))
        if column.oid in postgres_types.NATIVE_OIDS:
            return pa.array(values, column.type)
        return _texts(column.type, cast("Sequence[str | None]", values))
    except (pa.ArrowException, OverflowError, ValueError):
        what = "array of " if column.is_array else ""
        raise QueryError(
            f"Column {column.name} holds a value that does not fit {what}{column.type}, such as infinity, "
            "NaN, a year outside 1 to 9999 or an array of arrays. Cast it in the query. Nothing was sent."
        ) from None


def _texts(kind: pa.DataType, texts: Sequence[str | None]) -> pa.Array:
    import pyarrow as pa

    if kind == pa.uuid():
        return pa.array(_each(lambda text: bytes.fromhex(text.replace("-", "")), texts), kind)
    if pa.types.is_time(kind):
        return pa.array(_each(dt.time.fromisoformat, texts), kind)
    array = pa.array(texts, pa.string())
    if kind == array.type:
        return array
    try:
        return array.cast(kind)
    except pa.ArrowInvalid:
        if not pa.types.is_timestamp(kind):
            raise
        # Offsets of local time before the standard zones have seconds, which Arrow does not read.
        return pa.array(_each(dt.datetime.fromisoformat, texts), kind)


def _each(convert: Callable[[str], object], texts: Iterable[str | None]) -> list[object]:
    return [None if text is None else convert(text) for text in texts]


def _arrays(column: PostgresColumn, texts: Sequence[str | None]) -> pa.Array:
    import pyarrow as pa

    offsets: list[int | None] = []
    elements: list[str | None] = []
    for text in texts:
        offsets.append(None if text is None else len(elements))
        elements += _elements(text) if text else ()
    offsets.append(len(elements))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _elements_to_arrow(column, elements))


def _elements_to_arrow(column: PostgresColumn, texts: Sequence[str | None]) -> pa.Array:
    import pyarrow as pa

    if column.oid == postgres_types.BOOL:
        return pa.array(_each(lambda text: text == "t", texts), column.type)
    if column.oid == postgres_types.BYTEA:
        return pa.array(_each(lambda text: bytes.fromhex(text.removeprefix(r"\x")), texts), column.type)
    return _texts(column.type, texts)


def _elements(text: str) -> list[str | None]:
    """
    Return the elements of an array in Postgres's notation, such as ``{1,NULL,"a b"}``.

    :raises ValueError: It is an array of arrays.
    """
    if text.startswith("["):  # bounds other than 1: [0:2]={1,2,3}
        text = text.partition("=")[2]
    body = text[1:-1]
    if not body:
        return []
    if '"' not in body and "{" not in body:
        return [None if element == "NULL" else element for element in body.split(",")]
    elements: list[str | None] = []
    for match in _ELEMENT.finditer(body):
        quoted, bare = match.groups()
        if quoted is not None:
            elements.append(_ESCAPED.sub(r"\1", quoted))
        elif bare is not None:
            elements.append(None if bare == "NULL" else bare)
        else:
            raise ValueError("an array of arrays")
    return elements
