"""Rows into DuckDB's tables by its own Parquet reader, in the types of the Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.warehouse.selected_rows import OUTCOME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_claude_batch.core.warehouse_sql import WriteSql
    from airflow_provider_claude_batch.warehouse.selected_rows import SelectedRows
    from airflow_provider_claude_batch.warehouse.session import Session

_TEXT = "VARCHAR"


def fill_duckdb(session: Session, sql: WriteSql, selected: SelectedRows) -> int:
    """Have DuckDB read the files into the staging table; lists and structs become JSON in a text column."""
    import pyarrow as pa

    kinds = dict(session.columns(sql.look()) or ())
    nested = {field.name for field in selected.schema if pa.types.is_nested(field.type)}
    as_json = {name for name in nested if kinds.get(name) == _TEXT}
    session.run(f"insert into {sql.staging} ({sql.names}) " + rows_of_files(sql, selected, as_json=as_json))
    return session.number(sql.count_staged())


def create_duckdb_table(session: Session, sql: WriteSql, selected: SelectedRows) -> None:
    """Make the table, with the types that DuckDB reads in the files."""
    rows = rows_of_files(sql, selected)
    session.run(f"create table {sql.target} as {rows} limit 0")


def rows_of_files(
    sql: WriteSql, selected: SelectedRows, *, as_json: set[str] | frozenset[str] = frozenset()
) -> str:
    """Return the query of the rows that are to be written, under the table's names."""
    quoted = sql.dialect.quoted
    columns = [
        f"{f'to_json({quoted(name)})' if target in as_json else quoted(name)} as {quoted(target)}"
        for name, target in selected.columns.items()
    ]
    files = _list([str(path) for path in selected.paths])
    clauses = ["select", ", ".join(columns), f"from read_parquet({files}, hive_partitioning = false)"]
    if selected.outcomes is not None:
        clauses.append(f"where list_contains({_list(selected.outcomes)}, {quoted(OUTCOME)})")
    return " ".join(clauses)


def _list(texts: Sequence[str]) -> str:
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"
