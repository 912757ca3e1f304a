"""What a value of a real database looks like in a request: the tables of docs/types.md, line by line."""

import json
import re
from pathlib import Path

import pytest

from airflow_provider_claude_batch.core.request_template import build_params, compile_request
from airflow_provider_claude_batch.core.rows_to_requests import RowsToRequests, rows_to_requests
from airflow_provider_claude_batch.sources.sql import open_query

DOC = Path(__file__).parents[2] / "docs" / "types.md"


def documented(heading: str) -> list[tuple[str, str]]:
    """Return the pairs of SQL expression and text under a heading."""
    section = DOC.read_text().split(f"### {heading}\n")[1].split("\n#")[0]
    return re.findall(r"^\| `(.+?)` \| `(.+?)` \|", section, re.MULTILINE)


def texts_of(expressions: list[str]) -> list[str]:
    """Read one row of the expressions and return what a template makes of each."""
    named = ", ".join(f"{sql} as c{i}" for i, sql in enumerate(expressions))
    params = build_params(
        model="m",
        max_tokens=1,
        messages=[{"role": "user", "content": f"{{c{i}}}"} for i in range(len(expressions))],
        system=None,
        output_format=None,
        request_params={},
    )
    with open_query(f"select 1 as id, {named}", sql_conn_id="warehouse") as reader:
        (rows,) = [batch for batch in reader if batch.num_rows]
        how = RowsToRequests(
            identity="0" * 16,
            template=compile_request(params, columns=reader.schema.names),
            key=("id",),
            passthrough=(),
            digest_context=b"",
        )
        (request,) = rows_to_requests(rows, how, first_row=0).requests
    return [message["content"] for message in json.loads(request)["params"]["messages"]]


def shown(pairs: list[tuple[str, str]]) -> dict[str, str]:
    expressions = [sql for sql, _ in pairs]
    return dict(zip(expressions, texts_of(expressions), strict=True))


def test_the_texts_of_duckdb_are_the_documented_ones(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", '{"conn_type": "duckdb"}')
    pairs = documented("Texts from DuckDB")
    assert len(pairs) > 25
    assert shown(pairs) == dict(pairs)


def test_the_texts_of_postgres_are_the_documented_ones(postgres, driver):
    pairs = documented("Texts from Postgres")
    assert len(pairs) > 15
    assert shown(pairs) == dict(pairs)
