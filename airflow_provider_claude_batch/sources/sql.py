"""
Rows of a query, as Arrow record batches, from any Airflow connection to a database.

DuckDB hands over Arrow itself; every other driver's rows are fetched in chunks. The message of an error that
a value of a row caused is withheld, since it may quote the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Protocol, cast

from airflow_provider_claude_batch.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from duckdb import DuckDBPyConnection

Parameters = Sequence[object] | Mapping[str, object]

#: Rows that are in memory at once, between the database and the snapshot.
CHUNK_ROWS = 8192

_IN_MEMORY = ":memory:"


class Cursor(Protocol):
    """The part of PEP 249's cursor that reading needs."""

    description: Sequence[Sequence[object]] | None
    arraysize: int

    def execute(self, sql: str, parameters: Parameters = ..., /) -> object:
        """Run a query."""

    def fetchmany(self, size: int = ..., /) -> Sequence[Sequence[object]]:
        """Fetch the next rows."""

    def close(self) -> None:
        """Close the cursor."""


class Connection(Protocol):
    """The part of PEP 249's connection that reading needs."""

    def cursor(self) -> Cursor:
        """Open a cursor."""


@contextmanager
def open_query(
    sql: str, *, sql_conn_id: str, parameters: Parameters | None = None, chunk_rows: int = CHUNK_ROWS
) -> Iterator[pa.RecordBatchReader]:
    """
    Run a query and yield a reader of its rows.

    A DuckDB file is opened read-only: a process that holds it for writing would lock every other one out.
    Holds ``chunk_rows`` rows in memory, and whatever the driver itself keeps.

    :param sql: One statement that returns rows.
    :param sql_conn_id: Airflow connection of any hook that derives from ``DbApiHook``.
    :param parameters: Bound by the driver, in the driver's own style.
    :param chunk_rows: Rows of one record batch.
    :raises QueryError: There is no such connection, it is not one to a database, or the query fails.
    """
    hook = _database_hook(sql_conn_id)
    with _reported(f"Connecting to {sql_conn_id}", reads_rows=False):
        connection = hook.get_conn()
    with closing(connection):
        read = _duckdb_rows if hook.conn_type == "duckdb" else _fetched_rows
        with _reported(f"The query on {sql_conn_id}", reads_rows=False):
            reader = read(connection, sql, parameters, chunk_rows)
        with _reported(f"Reading the rows of the query on {sql_conn_id}", reads_rows=True):
            yield reader


def _database_hook(sql_conn_id: str) -> DbApiHook:
    from airflow.providers.common.compat.sdk import AirflowException
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        hook = BaseHook.get_hook(sql_conn_id)
    except (AirflowException, AirflowRuntimeError) as error:
        raise QueryError(f"sql_conn_id {sql_conn_id!r}: {error}. Nothing was sent.") from error
    if not isinstance(hook, DbApiHook):
        raise QueryError(
            f"sql_conn_id {sql_conn_id!r} is a connection of type {hook.conn_type!r}, which runs no SQL. "
            "Nothing was sent."
        )
    if hook.conn_type == "duckdb" and _is_file(hook.get_database()):
        return cast("DbApiHook", BaseHook.get_hook(sql_conn_id, hook_params={"read_only": True}))
    return hook


def _is_file(database: str) -> bool:
    return database != _IN_MEMORY and not database.startswith("md:")


@contextmanager
def _reported(what: str, *, reads_rows: bool) -> Iterator[None]:
    """Turn the driver's errors into ours; errors of this package and of the caller's own files pass."""
    try:
        yield
    except (QueryError, OSError, ValueError):
        raise
    except Exception as error:
        kind = type(error).__name__
        withheld = reads_rows or any(base.__name__ in _QUOTING for base in type(error).__mro__)
        if not _is_of_driver(error):
            raise
        said = "its message is withheld, since it may quote a row" if withheld else str(error).strip()
        raise QueryError(f"{what} failed: {kind}: {said}. Nothing was sent.") from (
            None if withheld else error
        )


#: PEP 249's class for errors in the data itself, and DuckDB's for a value that does not parse.
_QUOTING = frozenset({"DataError", "InvalidInputException"})


def _is_of_driver(error: Exception) -> bool:
    """PEP 249 asks every driver to derive its errors from a class that it calls ``Error``."""
    return any(base.__name__ == "Error" for base in type(error).__mro__)


def _duckdb_rows(
    connection: object, sql: str, parameters: Parameters | None, chunk_rows: int
) -> pa.RecordBatchReader:

    result = cast("DuckDBPyConnection", connection).sql(sql, params=parameters)
    if result is None:
        raise QueryError("The statement returns no rows: give a query. Nothing was sent.")
    # The name before DuckDB 1.4 and the one since.
    name = "to_arrow_reader" if hasattr(result, "to_arrow_reader") else "fetch_record_batch"
    open_reader = getattr(result, name)
    return cast("pa.RecordBatchReader", open_reader(chunk_rows))


def _fetched_rows(
    connection: Connection, sql: str, parameters: Parameters | None, chunk_rows: int
) -> pa.RecordBatchReader:
    import pyarrow as pa

    from airflow_provider_claude_batch.sources.rows_to_arrow import rows_to_batches

    cursor = connection.cursor()
    cursor.arraysize = chunk_rows
    if parameters is None:
        cursor.execute(sql)
    else:
        cursor.execute(sql, parameters)
    if cursor.description is None:
        raise QueryError("The statement returns no rows: give a query. Nothing was sent.")
    names = [str(column[0]) for column in cursor.description]
    chunks = iter(lambda: cursor.fetchmany(chunk_rows), [])
    batches = rows_to_batches(names, chunks)
    first = next(batches)
    return pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))
