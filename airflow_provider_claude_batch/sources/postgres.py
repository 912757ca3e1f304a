"""
Queries on Postgres and whatever speaks through its drivers, by a cursor on the server: psycopg, psycopg2.

Both drivers are told to hand over the server's text of all but the plainest types, so that both give the
same and nothing is rounded, and so that JSON keeps its exact text.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast
from uuid import uuid4

from airflow_provider_claude_batch.errors import QueryError
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
from airflow_provider_claude_batch.sources.postgres_to_arrow import postgres_to_batch
from airflow_provider_claude_batch.sources.postgres_types import (
    BYTEA,
    NATIVE_OIDS,
    element_oids,
    postgres_columns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg
    import pyarrow as pa


class _ServerInfo(Protocol):
    def parameter_status(self, name: str, /) -> str | None:
        """Return a setting that the server reports."""


class _PostgresConnection(Connection, Protocol):
    autocommit: bool
    info: _ServerInfo


def run_postgres(
    connection: object, sql: str, parameters: Parameters | None, chunk_rows: int
) -> RunningQuery:
    """
    Declare a cursor on the server, in a transaction that lasts until the connection is closed.

    In memory: one chunk of :func:`~.fetch_batches.fetch_batches`.

    :param connection: Of psycopg or psycopg2, with no transaction open.
    :param sql: What a cursor can be declared for: ``select``, ``with``, ``values`` or ``table``.
    """
    opened = cast("_PostgresConnection", connection)
    opened.autocommit = False
    name = f"claude_batch_{uuid4().hex}"
    cursor = (
        _psycopg2_cursor(opened, name) if driver_of(opened) == "psycopg2" else _psycopg_cursor(opened, name)
    )
    if not (opened.info.parameter_status("DateStyle") or "ISO").startswith("ISO"):
        setting = opened.cursor()
        setting.execute("set local datestyle to iso")
        setting.close()
    with ExitStack() as on_failure:
        on_failure.callback(cursor.close)
        execute(cursor, sql, parameters)
        on_failure.pop_all()
    return RunningQuery(partial(_read, opened, cursor, chunk_rows), cursor, cursor.close)


def _read(connection: Connection, cursor: Cursor, chunk_rows: int) -> pa.RecordBatchReader:
    def columns(_: Sequence[Row]) -> Callable[[Sequence[Row], int], pa.RecordBatch]:
        # psycopg2 describes a named cursor only once something was fetched.
        if cursor.description is None:
            raise QueryError("The statement returns no rows: give a query. Nothing was sent.")
        arrays = element_oids(connection, cursor.description)
        return postgres_to_batch(postgres_columns(cursor.description, arrays))

    return fetch_batches(cursor.fetchmany, columns, chunk_rows=chunk_rows)


def _psycopg_cursor(connection: Connection, name: str) -> Cursor:
    from psycopg.postgres import types
    from psycopg.rows import tuple_row
    from psycopg.types.string import TextLoader

    opened = cast("psycopg.Connection[object]", connection)
    for info in types:
        for oid in {info.oid, info.array_oid} - NATIVE_OIDS - {0}:
            opened.adapters.register_loader(oid, TextLoader)
    opened.row_factory = tuple_row
    return cast("Cursor", opened.cursor(name))


def _psycopg2_cursor(connection: Connection, name: str) -> Cursor:
    extensions = import_module("psycopg2.extensions")
    typed = tuple(oid for oid in extensions.string_types if oid not in NATIVE_OIDS)
    extensions.register_type(extensions.new_type(typed, "TEXT", lambda text, _: text), connection)
    extensions.register_type(extensions.new_type((BYTEA,), "BYTES", _bytes), connection)
    return connection.cursor(name, cursor_factory=extensions.cursor)


def _bytes(text: str | None, cursor: object) -> bytes | None:
    binary = import_module("psycopg2").BINARY
    return None if text is None else bytes(binary(text, cursor))
