"""
The dataset into a table: staged beside it, checked, then brought in by one transaction.

Whatever happens before its end, the table keeps what it had; after it, the same write changes nothing more.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_claude_batch.core.sql_dialect import (
    DUCKDB,
    POSTGRES,
    SQLITE,
    SqlDialect,
    other_dialect,
)
from airflow_provider_claude_batch.core.warehouse_sql import WriteSql, table_parts
from airflow_provider_claude_batch.errors import WarehouseError
from airflow_provider_claude_batch.warehouse.fill_dbapi import fill_dbapi
from airflow_provider_claude_batch.warehouse.fill_duckdb import create_duckdb_table, fill_duckdb
from airflow_provider_claude_batch.warehouse.fill_postgres import fill_postgres
from airflow_provider_claude_batch.warehouse.session import Session, database_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_claude_batch.warehouse.selected_rows import SelectedRows

Mode = Literal["append", "upsert", "replace"]


@dataclass(frozen=True, slots=True)
class Written:
    """
    What was written.

    :param rows: Rows that the table was given.
    :param created: The table was made.
    :param nuls: Values with a NUL, which Postgres cannot hold and which was replaced.
    """

    rows: int
    created: bool
    nuls: int = 0


def write_rows(
    session: Session,
    selected: SelectedRows,
    *,
    table: str,
    mode: Mode,
    match: Sequence[str],
    create_table: bool,
    staging_name: str,
    dialect: SqlDialect | None = None,
) -> Written:
    """
    Bring rows into a table.

    :param table: The table's name; its schema in front, if need be.
    :param match: Columns of the table by which a row is found there, and of which each staged row has its
        own values; none for ``replace``.
    :param create_table: Make the table where it is not there.
    :param staging_name: Of this dataset and table alone: where the database has no temporary tables, a
        staging table that a killed try has left is found and removed by it.
    :param dialect: Default: that of the connection.
    :raises WarehouseError: The table lacks a column, a key is null or doubled, or the database raised.
    """
    sql = WriteSql(
        dialect=dialect or dialect_of(session),
        table=table_parts(table),
        columns=tuple(selected.columns.values()),
        match=tuple(match),
        staging_name=staging_name,
    )
    created = prepare_table(session, sql, selected, create_table=create_table)
    kept = "The table keeps what it had"
    state = kept if sql.dialect.has_temporary_tables else f"{kept}, if the database has transactions"
    with database_errors(f"Writing to {sql.target}", state=state), _staging(session, sql):
        rows, nuls = _fill(session, sql, selected)
        check_staged(session, sql, rows=rows)
        if sql.dialect is POSTGRES:
            # Readers go on; another write of the same keys waits here, and then finds them.
            session.run(f"lock table {sql.target} in share row exclusive mode")
        for statement in sql.apply(replaces=mode == "replace"):
            session.run(statement)
        with database_errors(f"The commit to {sql.target}", state="The rows may be in or not"):
            session.commit()
    return Written(rows, created, nuls)


def dialect_of(session: Session) -> SqlDialect:
    """Return the dialect of a connection's database."""
    by_driver = {"duckdb": DUCKDB, "psycopg": POSTGRES, "psycopg2": POSTGRES, "sqlite3": SQLITE}
    if found := by_driver.get(session.driver):
        return found
    before, _, after = session.hook.escape_word_format.partition("{}")
    return other_dialect(
        session.hook.dialect_name, quotes=(before, after), reserved=frozenset(session.hook.reserved_words)
    )


def prepare_table(session: Session, sql: WriteSql, selected: SelectedRows, *, create_table: bool) -> bool:
    """
    See that the table is there with all columns that are written; return whether it was made.

    :raises WarehouseError: It is not there and is not to be made, or lacks a column.
    """
    found = session.columns(sql.look())
    created = found is None and create_table and _create(session, sql, selected)
    if found is None:
        found = session.columns(sql.look())
    session.roll_back()
    if found is None:
        raise WarehouseError(
            f"{sql.target} is not there, or may not be read. Make it, or give create_table=True. Nothing was "
            "written; the answers stay in the dataset, and a retry pays for nothing."
        )
    is_exact = sql.dialect is POSTGRES
    known = {name if is_exact else name.casefold() for name, _ in found}
    missing = [name for name in sql.columns if (name if is_exact else name.casefold()) not in known]
    if missing:
        raise WarehouseError(
            f"{sql.target} has no column {', '.join(missing)}: add it, or name those to write in columns. "
            "Nothing was written; the answers stay in the dataset, and a retry pays for nothing."
        )
    return created


def _create(session: Session, sql: WriteSql, selected: SelectedRows) -> bool:
    from airflow_provider_claude_batch.core.arrow_to_warehouse import sql_type

    try:
        with database_errors(f"Making {sql.target}", handles_rows=False):
            if sql.dialect is DUCKDB:
                create_duckdb_table(session, sql, selected)
            else:
                types = {field.name: sql_type(field.type, sql.dialect.types) for field in selected.schema}
                session.run(sql.create_table(types))
                session.commit()
    except WarehouseError:
        # Another task of the same kind may have made it in the meantime.
        session.roll_back()
        if session.columns(sql.look()) is None:
            raise
        return False
    return True


@contextmanager
def _staging(session: Session, sql: WriteSql) -> Iterator[None]:
    """Yield with an empty staging table, inside the transaction where it is a temporary one."""
    if sql.dialect.has_temporary_tables:
        session.begin()
        session.run(sql.create_staging())
        yield
        return
    session.run(sql.drop_staging())
    session.run(sql.create_staging())
    session.commit()
    try:
        yield
    finally:
        session.roll_back()
        with suppress(Exception):  # the next try removes it
            session.run(sql.drop_staging())
            session.commit()


def _fill(session: Session, sql: WriteSql, selected: SelectedRows) -> tuple[int, int]:
    if sql.dialect is DUCKDB:
        return fill_duckdb(session, sql, selected), 0
    if sql.dialect is POSTGRES:
        text = fill_postgres(session, sql, selected)
        return text.rows, text.nuls
    return fill_dbapi(session, sql, selected), 0


def check_staged(session: Session, sql: WriteSql, *, rows: int) -> None:
    """
    See that the staged rows are all there, each with a key of its own, as the database compares them.

    :raises WarehouseError: Names the key.
    """
    staged = session.number(sql.count_staged())
    if staged != rows:
        raise WarehouseError(
            f"{staged} rows are staged for {sql.target} and {rows} were sent: another try writes at the same "
            "time. The table keeps what it had; a retry pays for nothing."
        )
    if not sql.match:
        return
    key = ", ".join(sql.match)
    if nulls := session.number(sql.null_keys()):
        raise WarehouseError(
            f"{key} is null in {nulls} of {rows} rows for {sql.target}, so they cannot be found there. The "
            "table keeps what it had, and a retry changes nothing: give another key."
        )
    if doubled := session.first_row(sql.doubled_keys()):
        *values, count = doubled
        named = ", ".join(f"{name}={value}" for name, value in zip(sql.match, values, strict=True))
        raise WarehouseError(
            f"{count} of the {rows} rows for {sql.target} have the key {named}. The table keeps what it had, "
            "and a retry changes nothing: give another key."
        )
