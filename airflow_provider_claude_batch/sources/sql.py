"""
Rows of a query, as Arrow record batches, from any Airflow connection to a database.

The message of an error that a value of a row caused is withheld, since it may quote the value.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, cast

from airflow_provider_claude_batch.errors import QueryError
from airflow_provider_claude_batch.sources.lineage import report_query
from airflow_provider_claude_batch.sources.query_errors import reported
from airflow_provider_claude_batch.sources.query_to_arrow import run_query

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_claude_batch.sources.dbapi import Connection, Parameters

#: Rows that are in memory at once, between the database and the snapshot.
CHUNK_ROWS = 8192

_IN_MEMORY = ":memory:"


@contextmanager
def open_query(
    sql: str, *, sql_conn_id: str, parameters: Parameters | None = None, chunk_rows: int = CHUNK_ROWS
) -> Iterator[pa.RecordBatchReader]:
    """
    Run a query, report it to Airflow's lineage and yield a reader of its rows.

    The SQL's own types survive, see ``docs/types.md``. A DuckDB file is opened read-only: a process that
    holds it for writing would lock every other one out. Holds ``chunk_rows`` rows in memory, fewer where rows
    are large, and whatever the driver itself keeps; see :func:`~.query_to_arrow.run_query`.

    :param sql: One statement that returns rows; on Postgres one that a cursor can be declared for.
    :param sql_conn_id: Airflow connection of any hook that derives from ``DbApiHook``.
    :param parameters: Bound by the driver, in the driver's own style.
    :param chunk_rows: Rows of one record batch, at most.
    :raises QueryError: There is no such connection, it is not one to a database, the query fails, or a value
        does not fit its column's type. Raised by the reader too.
    """
    hook = _database_hook(sql_conn_id)
    with reported(f"Connecting to {sql_conn_id}", reads_rows=False):
        connection = cast("Connection", hook.get_conn())
    with closing(connection):
        with reported(f"The query on {sql_conn_id}", reads_rows=False):
            query = run_query(hook, connection, sql, parameters, chunk_rows=chunk_rows)
        report_query(hook, sql, parameters, query.cursor)
        with reported(f"Reading the rows of the query on {sql_conn_id}", reads_rows=True), closing(query):
            yield query.read()


def _database_hook(sql_conn_id: str) -> DbApiHook:
    from airflow.providers.common.compat.sdk import AirflowException
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        hook = BaseHook.get_hook(sql_conn_id)
    except (AirflowException, AirflowRuntimeError) as error:
        way_out = (
            " No provider that is installed here has it: install one." if _is_of_no_provider(error) else ""
        )
        raise QueryError(f"sql_conn_id {sql_conn_id!r}: {error}.{way_out} Nothing was sent.") from error
    if not isinstance(hook, DbApiHook):
        raise QueryError(
            f"sql_conn_id {sql_conn_id!r} is a connection of type {hook.conn_type!r}, which runs no SQL. "
            "Nothing was sent."
        )
    if hook.conn_type == "duckdb" and _is_file(hook.get_database()):
        return cast("DbApiHook", BaseHook.get_hook(sql_conn_id, hook_params={"read_only": True}))
    return hook


def _is_of_no_provider(error: Exception) -> bool:
    return str(error).startswith("Unknown hook type")


def _is_file(database: str) -> bool:
    return database != _IN_MEMORY and not database.startswith("md:")
