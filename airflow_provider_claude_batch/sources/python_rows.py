"""Rows that Python code makes: dicts, a pandas DataFrame or anything of Arrow, as Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_claude_batch.errors import QueryError, RowError
from airflow_provider_claude_batch.sources.arrow_to_storable import to_storable
from airflow_provider_claude_batch.sources.fetch_batches import fetch_batches
from airflow_provider_claude_batch.sources.rows_to_arrow import infer_columns, not_unicode
from airflow_provider_claude_batch.sources.sql import CHUNK_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from airflow_provider_claude_batch.sources.dbapi import Row


@contextmanager
def open_rows(
    rows: object, *, key: Sequence[str] = (), chunk_rows: int = CHUNK_ROWS
) -> Iterator[pa.RecordBatchReader]:
    """
    Yield a reader of rows that are in Python already, or that a generator makes one by one.

    Order is kept. A generator is asked for at most ``chunk_rows`` rows at a time, and what it raises passes
    as it is; the keys of its first chunk are the columns, and a row without one of them holds a null there.

    :param rows: Dicts, in any iterable; a pandas DataFrame, whose index is left out; an Arrow table, record
        batch or reader, or any other object of Arrow's C stream interface, such as a polars DataFrame.
    :param key: Columns that name a row in a message.
    :param chunk_rows: Rows of one record batch, at most.
    :raises QueryError: ``rows`` is none of these, or a value does not fit its column's type. Raised by the
        reader too.
    :raises RowError: A row is not a dict, has a key that the first rows do not have, or text that is not
        valid Unicode, such as a lone surrogate. Raised by the reader too.
    """
    yield _reader(rows, chunk_rows, key)


def _reader(rows: object, chunk_rows: int, key: Sequence[str]) -> pa.RecordBatchReader:
    import pyarrow as pa

    if type(rows).__module__.partition(".")[0] == "pandas" and hasattr(rows, "iloc"):
        return _pandas_reader(rows, chunk_rows, key)
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if isinstance(rows, pa.Table):
        return to_storable(rows.schema, rows.to_batches(), chunk_rows=chunk_rows, key=key)
    if hasattr(rows, "__arrow_c_stream__"):
        stream = pa.RecordBatchReader.from_stream(rows)
        return to_storable(stream.schema, stream, chunk_rows=chunk_rows, key=key)
    if not isinstance(rows, Iterable) or isinstance(rows, Mapping | str | bytes):
        raise QueryError(
            f"Rows are dicts, a DataFrame or an Arrow table, and not {type(rows).__name__}. Nothing was sent."
        )
    return _dict_reader(iter(rows), chunk_rows, key)


def _pandas_reader(frame: Any, chunk_rows: int, key: Sequence[str]) -> pa.RecordBatchReader:
    import pyarrow as pa

    def batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(frame), chunk_rows):
            part = frame.iloc[start : start + chunk_rows]
            try:
                yield pa.RecordBatch.from_pandas(part, schema=schema, preserve_index=False)
            except UnicodeEncodeError:
                raise not_unicode(part.to_dict("list"), key=key, first_row=start) from None

    if not all(isinstance(name, str) for name in frame.columns):
        raise QueryError("The columns of the DataFrame are not all named by text. Nothing was sent.")
    try:
        schema = pa.Schema.from_pandas(frame, preserve_index=False).remove_metadata()
    except UnicodeEncodeError:
        raise not_unicode(frame.to_dict("list"), key=key, first_row=0) from None
    except pa.ArrowException:
        raise QueryError(
            "The DataFrame has a column of values that do not fit one Arrow type. Nothing was sent."
        ) from None
    return to_storable(schema, batches(schema), chunk_rows=chunk_rows, key=key)


def _dict_reader(rows: Iterator[object], chunk_rows: int, key: Sequence[str]) -> pa.RecordBatchReader:
    names: dict[str, None] = {}
    read = 0

    def fetch(count: int) -> list[Row]:
        nonlocal read
        chunk = [_checked(row, read + i) for i, row in enumerate(islice(rows, count))]
        if not read:
            names.update((name, None) for row in chunk for name in row)
        for i, row in enumerate(chunk):
            if unknown := [name for name in row if name not in names]:
                raise RowError(f"{', '.join(unknown)}: columns that the first rows do not have", row=read + i)
        read += len(chunk)
        return [[row.get(name) for name in names] for row in chunk]

    def columns(first_rows: Sequence[Row]) -> Callable[[Sequence[Row], int], pa.RecordBatch]:
        return infer_columns(list(names), first_rows, key=key)

    reader = fetch_batches(fetch, columns, chunk_rows=chunk_rows)
    return to_storable(reader.schema, reader, chunk_rows=chunk_rows, key=key)


def _checked(row: object, number: int) -> Mapping[str, object]:
    if not isinstance(row, Mapping):
        raise RowError(f"it is of type {type(row).__name__}, not a dict", row=number)
    if not all(isinstance(name, str) for name in row):
        raise RowError("its keys are not all text", row=number)
    return row
