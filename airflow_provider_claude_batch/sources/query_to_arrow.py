"""A query, by whatever way its driver reads rows without holding them all."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from airflow_provider_claude_batch.errors import QueryError
from airflow_provider_claude_batch.sources.arrow_native import arrow_reader, run_bigquery, run_duckdb
from airflow_provider_claude_batch.sources.arrow_to_storable import to_storable
from airflow_provider_claude_batch.sources.dbapi import (
    Connection,
    Cursor,
    Parameters,
    Row,
    RunningQuery,
    driver_of,
    execute,
)
from airflow_provider_claude_batch.sources.fetch_batches import fetch_batches
from airflow_provider_claude_batch.sources.postgres import run_postgres
from airflow_provider_claude_batch.sources.rows_to_arrow import infer_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from airflow.providers.common.sql.hooks.sql import DbApiHook

_NO_ROWS = "The statement returns no rows: give a query. Nothing was sent."


def run_query(
    hook: DbApiHook, connection: object, sql: str, parameters: Parameters | None, *, chunk_rows: int
) -> RunningQuery:
    """
    Run a query; its rows are read by the result's ``read``.

    Arrow from the driver where it has it (DuckDB, ADBC, Snowflake, BigQuery, Databricks); a cursor on the
    server for Postgres (psycopg, psycopg2) and Redshift; an unbuffered one for MySQL; ``fetchmany`` for the
    rest, which holds ``chunk_rows`` rows and whatever the driver itself keeps.

    :param hook: The hook that made the connection.
    :param connection: Used for nothing else, and closed by the caller when all rows are read.
    :raises QueryError: The statement returns no rows. The driver raises its own errors.
    """
    driver = driver_of(connection)
    if driver == "duckdb":
        return run_duckdb(connection, sql, parameters, chunk_rows)
    if driver in {"psycopg", "psycopg2"}:
        return run_postgres(connection, sql, parameters, chunk_rows)
    if hook.conn_type == "gcpbigquery":
        return run_bigquery(hook.get_client(location=hook.location), sql, parameters, chunk_rows)
    opened = cast("Connection", connection)
    if driver == "redshift_connector":
        return _run_redshift(opened, sql, parameters, chunk_rows)
    return _run_cursor(_unbuffered(opened, driver), sql, parameters, chunk_rows)


def _unbuffered(connection: Connection, driver: str) -> Cursor:
    """Open a cursor; MySQL's drivers fetch a whole result unless they are told not to."""
    if driver in {"MySQLdb", "pymysql"}:
        return connection.cursor(import_module(f"{driver}.cursors").SSCursor)
    return connection.cursor(buffered=False) if driver == "mysql" else connection.cursor()


def _run_cursor(cursor: Cursor, sql: str, parameters: Parameters | None, chunk_rows: int) -> RunningQuery:
    cursor.arraysize = chunk_rows
    execute(cursor, sql, parameters)
    if cursor.description is None:
        raise QueryError(_NO_ROWS)
    read = arrow_reader(cursor, chunk_rows) or partial(_read_rows, cursor, cursor.fetchmany, chunk_rows)
    return RunningQuery(read, cursor)


def _run_redshift(
    connection: Connection, sql: str, parameters: Parameters | None, chunk_rows: int
) -> RunningQuery:
    """Declare a cursor on the server: Redshift's own driver knows none and fetches a whole result at once."""
    cursor = connection.cursor()
    name = f"claude_batch_{uuid4().hex}"
    execute(cursor, f"declare {name} cursor for {sql}", parameters)

    def fetch(rows: int) -> Sequence[Row]:
        cursor.execute(f"fetch forward {rows} from {name}")
        return cursor.fetchall()

    return RunningQuery(partial(_read_rows, cursor, fetch, chunk_rows), cursor)


def _read_rows(
    cursor: Cursor, fetch: Callable[[int], Sequence[Row]], chunk_rows: int
) -> pa.RecordBatchReader:
    def columns(rows: Sequence[Row]) -> Callable[[Sequence[Row], int], pa.RecordBatch]:
        if cursor.description is None:
            raise QueryError(_NO_ROWS)
        return infer_columns([str(column[0]) for column in cursor.description], rows)

    reader = fetch_batches(fetch, columns, chunk_rows=chunk_rows)
    return to_storable(reader.schema, reader, chunk_rows=chunk_rows)
