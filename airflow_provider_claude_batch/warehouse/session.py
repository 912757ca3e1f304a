"""
One connection to the database that is written to, with its transactions, and its errors as ours.

What a database says of an error is withheld where rows are handled, since it quotes their values; its class
and its code are shown.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from airflow_provider_claude_batch.errors import ClaudeBatchInputError, WarehouseError
from airflow_provider_claude_batch.sources.dbapi import Connection, Cursor, Row, driver_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.sql.hooks.sql import DbApiHook


class WarehouseConnection(Connection, Protocol):
    """The part of a connection that writing needs."""

    def commit(self) -> None:
        """End the transaction and keep what it did."""

    def rollback(self) -> None:
        """End the transaction and keep nothing of it."""


class Session:
    """
    One connection, in transactions that begin by themselves.

    :param hook: Whose connection it is.
    :param connection: Closed by whoever opened it.
    """

    def __init__(self, hook: DbApiHook, connection: WarehouseConnection) -> None:
        self.hook = hook
        self.connection = connection
        self.driver = driver_of(connection)
        if self.driver in {"psycopg", "psycopg2"}:
            connection.autocommit = False  # type: ignore[attr-defined]
        elif hook.supports_autocommit:
            hook.set_autocommit(connection, False)

    def cursor(self) -> Cursor:
        """
        Open a cursor whose rows are tuples, whatever the connection's extra says.

        DuckDB's cursors are connections of their own, so there it is the connection itself.
        """
        if self.driver == "duckdb":
            return cast("Cursor", self.connection)
        if self.driver == "psycopg":
            self.connection.row_factory = import_module("psycopg.rows").tuple_row  # type: ignore[attr-defined]
        if self.driver == "psycopg2":
            extensions = import_module("psycopg2.extensions")
            return self.connection.cursor(cursor_factory=extensions.cursor)
        return self.connection.cursor()

    def begin(self) -> None:
        """Begin a transaction where the driver does not before the first statement."""
        if self.driver == "duckdb":
            self.run("begin transaction")
        elif self.driver == "sqlite3":
            # Later would be too late: two writers that have both read cannot both go on.
            self.run("begin immediate")

    def run(self, sql: str) -> None:
        """Run a statement without parameters."""
        self.cursor().execute(sql)

    def first_row(self, sql: str) -> Row | None:
        """Return the first row of a query, or ``None`` where there is none."""
        cursor = self.cursor()
        cursor.execute(sql)
        found = cursor.fetchmany(1)
        if self.driver != "duckdb":
            cursor.close()
        return found[0] if found else None

    def number(self, sql: str) -> int:
        """Return the one number that a query returns."""
        (number,) = self.first_row(sql) or (0,)
        return int(cast("int", number))

    def columns(self, sql: str) -> list[tuple[str, str]] | None:
        """Return names and type codes of a query's columns, or ``None`` where it fails."""
        cursor = self.cursor()
        try:
            cursor.execute(sql)
        except Exception as error:
            if not is_of_driver(error):
                raise
            self.roll_back()
            return None
        return [(str(column[0]), str(column[1])) for column in cursor.description or ()]

    def commit(self) -> None:
        """End the transaction and keep what it did."""
        self.connection.commit()

    def roll_back(self) -> None:
        """Undo what was not committed; where there is nothing to undo, nothing happens."""
        try:
            self.connection.rollback()
        except Exception as error:
            if not is_of_driver(error):
                raise


@contextmanager
def open_session(sql_conn_id: str) -> Iterator[Session]:
    """
    Open a connection; what was not committed at the end is undone.

    :raises ClaudeBatchInputError: The connection is not one to a database that outlives the task.
    :raises WarehouseError: It cannot be opened.
    """
    hook = _database_hook(sql_conn_id)
    with database_errors(f"Connecting to {sql_conn_id}", handles_rows=False):
        session = Session(hook, cast("WarehouseConnection", hook.get_conn()))
    try:
        yield session
    finally:
        session.roll_back()
        with suppress(Exception):  # a lost connection cannot be closed
            session.connection.close()


def _database_hook(sql_conn_id: str) -> DbApiHook:
    from airflow.providers.common.compat.sdk import AirflowException
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        hook = BaseHook.get_hook(sql_conn_id)
    except (AirflowException, AirflowRuntimeError) as error:
        raise ClaudeBatchInputError(f"sql_conn_id {sql_conn_id!r}: {error}. Nothing was written.") from error
    if not isinstance(hook, DbApiHook):
        raise ClaudeBatchInputError(
            f"sql_conn_id {sql_conn_id!r} is a connection of type {hook.conn_type!r}, which runs no SQL. "
            "Nothing was written."
        )
    if hook.conn_type == "duckdb" and hook.get_database() == ":memory:":
        raise ClaudeBatchInputError(
            f"sql_conn_id {sql_conn_id!r} is a DuckDB database in memory, which ends with the task. Nothing "
            "was written."
        )
    return hook


@contextmanager
def database_errors(
    what: str, *, state: str = "The table keeps what it had", handles_rows: bool = True
) -> Iterator[None]:
    """
    Turn the driver's errors into ours.

    :param what: Subject of the message.
    :param state: What has become of the table.
    :param handles_rows: Values of rows are inside: no message of the database is shown.
    :raises WarehouseError: The driver raised.
    """
    try:
        yield
    except Exception as error:
        if not is_of_driver(error):
            raise
        code = _code_of(error)
        withheld = "the database's message is withheld, since it may quote a row"
        raise WarehouseError(
            f"{what} failed: {type(error).__name__}{f' {code}' if code else ''}: "
            f"{withheld if handles_rows else str(error).strip()}. {state}. The answers stay in the dataset: "
            "a retry writes them and pays for nothing.",
            sqlstate=code,
        ) from (None if handles_rows else error)


def _code_of(error: Exception) -> str | None:
    """Return the SQLSTATE, or SQLite's word."""
    found = (getattr(error, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorname"))
    return next((str(code) for code in found if code), None)


def is_of_driver(error: Exception) -> bool:
    """PEP 249 asks every driver to derive its errors from a class that it calls ``Error``."""
    return any(base.__name__ == "Error" for base in type(error).__mro__)
