"""The tables of docs/types.md are what the databases say."""

import re
from pathlib import Path

import pytest

from airflow_provider_claude_batch.sources.sql import open_query

DOC = Path(__file__).parents[2] / "docs" / "types.md"


def documented(heading: str) -> list[tuple[str, str]]:
    """Return the pairs of SQL type and Arrow type under a heading."""
    section = DOC.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    pairs = []
    for line in section.splitlines():
        cells = [re.findall("`([^`]+)`", cell) for cell in line.split("|")[1:3]]
        if line.startswith("| `"):
            pairs += [(sql, cells[1][0]) for sql in cells[0]]
    return pairs


def read_schema(types: list[str]) -> list[str]:
    nulls = ", ".join(f"cast(null as {sql}) as c{i}" for i, sql in enumerate(types))
    with open_query(f"select {nulls}", sql_conn_id="warehouse") as reader:
        assert sum(batch.num_rows for batch in reader) == 1
        return [str(kind) for kind in reader.schema.types]


def arrow_names(pairs: list[tuple[str, str]]) -> dict[str, str]:
    return dict(zip([sql for sql, _ in pairs], read_schema([sql for sql, _ in pairs]), strict=True))


def test_the_table_of_postgres_is_true(postgres, driver):
    pairs = documented("Postgres")
    assert len(pairs) > 40
    assert arrow_names(pairs) == dict(pairs)


def test_the_table_of_duckdb_is_true(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", '{"conn_type": "duckdb"}')
    pairs = documented("DuckDB")
    assert len(pairs) > 25
    assert arrow_names(pairs) == dict(pairs)
