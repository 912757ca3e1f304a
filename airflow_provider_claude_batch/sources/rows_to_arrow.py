"""
Rows of Python values to Arrow record batches of one schema.

The schema is that of the first chunk: a driver without type information shows it in no other way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa


def rows_to_batches(
    names: Sequence[str], chunks: Iterable[Sequence[Sequence[object]]]
) -> Iterator[pa.RecordBatch]:
    """
    Turn chunks of rows into record batches; at least one comes, empty where there are no rows.

    A column that holds only nulls in the first chunk becomes a string column. Order is kept, and one chunk is
    in memory at a time.

    :param names: Columns of every row.
    :param chunks: Rows, each a sequence of as many values.
    :raises QueryError: A later value does not fit the type that its column has in the first chunk.
    """
    import pyarrow as pa

    schema: pa.Schema | None = None
    for chunk in chunks:
        columns = list(zip(*chunk, strict=True))
        if schema is None:
            schema = pa.schema(
                [pa.field(name, _inferred(name, column)) for name, column in zip(names, columns, strict=True)]
            )
        yield pa.RecordBatch.from_arrays(
            [_array(field, column) for field, column in zip(schema, columns, strict=True)], schema=schema
        )
    if schema is None:
        empty = pa.schema([pa.field(name, pa.string()) for name in names])
        yield pa.RecordBatch.from_pylist([], schema=empty)


def _inferred(name: str, values: Sequence[object]) -> pa.DataType:
    import pyarrow as pa

    try:
        kind = pa.infer_type(values)
    except pa.ArrowException as error:
        raise QueryError(
            f"Column {name} holds values that Arrow has no type for. Nothing was sent."
        ) from error
    return pa.string() if pa.types.is_null(kind) else kind


def _array(field: pa.Field, values: Sequence[object]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
        raise QueryError(
            f"Column {field.name} is {field.type} in the first rows, and a later value is not. Cast it in "
            "the query. Nothing was sent."
        ) from (error if isinstance(error, OverflowError) else None)
