"""Queries on databases whose driver hands over Arrow itself, each found by what its objects can do."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, cast

from airflow_provider_claude_batch.errors import QueryError
from airflow_provider_claude_batch.sources.arrow_to_storable import to_storable
from airflow_provider_claude_batch.sources.dbapi import Cursor, Parameters, RunningQuery
from airflow_provider_claude_batch.sources.duckdb_cache import drop_cache_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

#: DuckDB's types that Arrow has no match for, or whose match says less; DuckDB's own text says it all.
_AS_TEXT = frozenset({"interval", "bit", "bignum", "varint", "union", "variant", "time with time zone"})

#: DuckDB's rows come in vectors of so many; larger record batches would hold several of them.
_VECTOR_ROWS = 2048


def run_duckdb(connection: object, sql: str, parameters: Parameters | None, chunk_rows: int) -> RunningQuery:
    """
    Prepare a query on a DuckDB connection; DuckDB streams the rows in vectors of its own.

    In memory: one vector of rows, and what the query itself needs; see :mod:`~.duckdb_cache`.

    :raises QueryError: The statement returns no rows.
    """
    opened = cast("DuckDBPyConnection", connection)
    result = opened.sql(sql, params=parameters)
    if result is None:
        raise QueryError("The statement returns no rows: give a query. Nothing was sent.")
    return RunningQuery(partial(_read_duckdb, opened, result, chunk_rows))


def _read_duckdb(
    connection: DuckDBPyConnection, result: DuckDBPyRelation, chunk_rows: int
) -> pa.RecordBatchReader:
    import pyarrow as pa

    uuids = [str(kind) == "UUID" for kind in result.types]
    if any(kind.id in _AS_TEXT for kind in result.types):
        result = result.project(", ".join(map(_storable_column, result.columns, result.types)))
    # The name before DuckDB 1.4 and the one since.
    name = "to_arrow_reader" if hasattr(result, "to_arrow_reader") else "fetch_record_batch"
    reader = cast("pa.RecordBatchReader", getattr(result, name)(min(chunk_rows, _VECTOR_ROWS)))
    kinds = [pa.uuid() if uuid else field.type for field, uuid in zip(reader.schema, uuids, strict=True)]
    schema = pa.schema([pa.field(name, kind) for name, kind in zip(reader.schema.names, kinds, strict=True)])
    return to_storable(schema, drop_cache_between(connection, reader), chunk_rows=chunk_rows)


def _storable_column(name: str, kind: object) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    return f"{quoted}::varchar as {quoted}" if getattr(kind, "id", None) in _AS_TEXT else quoted


def arrow_reader(cursor: Cursor, chunk_rows: int) -> Callable[[], pa.RecordBatchReader] | None:
    """
    Return what reads Arrow from a cursor that has run a query, or ``None`` where the driver has no Arrow.

    ADBC gives one stream, Snowflake the files that its server has cut, Databricks chunks of ``chunk_rows``.
    """
    if hasattr(cursor, "fetch_record_batch"):
        return partial(_read_stream, cursor.fetch_record_batch, chunk_rows)
    if hasattr(cursor, "fetch_arrow_batches") and hasattr(cursor, "fetch_arrow_all"):
        tables = cast("Callable[[], Iterable[pa.Table]]", cursor.fetch_arrow_batches)
        empty = partial(cursor.fetch_arrow_all, force_return_table=True)
        return partial(_read_tables, tables, empty, chunk_rows, schema_of=_widened)
    if hasattr(cursor, "fetchmany_arrow"):
        fetch = cast("Callable[[int], pa.Table]", cursor.fetchmany_arrow)
        return partial(_read_tables, partial(_chunks, fetch, chunk_rows), partial(fetch, 0), chunk_rows)
    return None


def run_bigquery(client: object, sql: str, parameters: Parameters | None, chunk_rows: int) -> RunningQuery:
    """
    Start a query by BigQuery's own client, whose rows come as Arrow.

    :param client: ``google.cloud.bigquery.Client``.
    :raises QueryError: Parameters are given: BigQuery's are typed, and PEP 249's are not.
    """
    if parameters is not None:
        raise QueryError("BigQuery takes no parameters here: write them into the query. Nothing was sent.")
    result = client.query_and_wait(sql)  # type: ignore[attr-defined]
    return RunningQuery(partial(_read_tables, result.to_arrow_iterable, result.to_arrow, chunk_rows))


def _read_stream(open_stream: Callable[[], pa.RecordBatchReader], chunk_rows: int) -> pa.RecordBatchReader:
    reader = open_stream()
    return to_storable(reader.schema, reader, chunk_rows=chunk_rows)


def _chunks(fetch: Callable[[int], pa.Table], chunk_rows: int) -> Iterator[pa.Table]:
    while (table := fetch(chunk_rows)).num_rows:
        yield table


def _read_tables(
    pieces: Callable[[], Iterable[pa.Table | pa.RecordBatch]],
    empty: Callable[[], pa.Table],
    chunk_rows: int,
    *,
    schema_of: Callable[[pa.Schema], pa.Schema] = lambda schema: schema,
) -> pa.RecordBatchReader:
    """
    Read tables or record batches; each is cast to the schema of the first where it differs.

    :param pieces: Opens the stream; called once.
    :param empty: Makes a table without rows, called where no piece comes.
    :param schema_of: Schema of all pieces, from that of the first.
    """
    stream = iter(pieces())
    first = next(stream, None)
    if first is None:
        first = empty()
    batches = (batch for piece in chain([first], stream) for batch in _batches(piece))
    return to_storable(schema_of(first.schema), batches, chunk_rows=chunk_rows)


def _batches(piece: pa.Table | pa.RecordBatch) -> list[pa.RecordBatch]:
    return piece.to_batches() if hasattr(piece, "to_batches") else [piece]


def _widened(schema: pa.Schema) -> pa.Schema:
    """Return the schema with 64-bit integers: Snowflake sends each file's in the smallest that fit."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(field.name, pa.int64() if pa.types.is_signed_integer(field.type) else field.type)
            for field in schema
        ]
    )
