"""
Rows into the staging table of any database with a PEP 249 driver.

Not by the hook's ``insert_rows``: it commits on a connection of its own, turns every value into text, and
writes the values of a row that fails into the task's log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_claude_batch.core.warehouse_sql import WriteSql
    from airflow_provider_claude_batch.warehouse.selected_rows import SelectedRows
    from airflow_provider_claude_batch.warehouse.session import Session


class _ManyCursor(Protocol):
    def executemany(self, sql: str, rows: Sequence[tuple[object, ...]], /) -> object:
        """Run a statement once for each row."""


def fill_dbapi(session: Session, sql: WriteSql, selected: SelectedRows) -> int:
    """Insert the rows into the staging table, one record batch in memory at a time; return their number."""
    from airflow_provider_claude_batch.core.arrow_to_warehouse import to_python_rows

    placeholder = session.hook.placeholder
    into = f"{sql.staging} ({sql.names})"
    values = ", ".join([placeholder] * len(sql.columns))
    # A percent sign in a name would be taken for a placeholder.
    escaped = into.replace("%", "%%") if placeholder == "%s" else into
    statement = " ".join(["insert into", escaped, f"values ({values})"])
    cursor = cast("_ManyCursor", session.cursor())
    written = 0
    for batch in selected.batches():
        cursor.executemany(statement, to_python_rows(batch, as_plain=session.driver == "sqlite3"))
        written += batch.num_rows
    return written
