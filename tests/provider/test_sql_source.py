import datetime as dt
import json
import sqlite3
import subprocess
import sys
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from airflow_provider_claude_batch.errors import QueryError
from airflow_provider_claude_batch.sources.rows_to_arrow import rows_to_batches
from airflow_provider_claude_batch.sources.sql import open_query


@pytest.fixture
def duckdb_file(tmp_path, monkeypatch):
    path = tmp_path / "warehouse.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(path)}))
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table t as select i::bigint as id, 'x' || i as body, i::decimal(9, 2) as price, "
            "date '2026-01-01' + i::int as day, timestamptz '2026-01-01 00:00:00+00' as at, [i, i] as pair "
            "from range(10) r(i)"
        )
    return path


def read(sql, **arguments):
    with open_query(sql, sql_conn_id="warehouse", **arguments) as reader:
        return reader.schema, list(reader)


def test_duckdb_hands_over_its_own_types_in_chunks(duckdb_file):
    schema, batches = read("select * from t order by id", chunk_rows=4)
    assert schema.field("id").type == pa.int64()
    assert schema.field("price").type == pa.decimal128(9, 2)
    assert schema.field("day").type == pa.date32()
    assert pa.types.is_timestamp(schema.field("at").type)
    assert schema.field("at").type.tz is not None
    assert schema.field("pair").type.value_type == pa.int64()
    assert [value for batch in batches for value in batch.column("id").to_pylist()] == list(range(10))


def test_a_duckdb_file_is_opened_so_that_other_processes_can_read_it_too(duckdb_file):
    count = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).sql('from t').count('*'))"
    with open_query("select * from t", sql_conn_id="warehouse"):
        other = subprocess.run(
            [sys.executable, "-c", count, str(duckdb_file)], capture_output=True, text=True, check=True
        )
    assert "10" in other.stdout


def test_parameters_reach_duckdb(duckdb_file):
    _, batches = read("select id from t where id > ?", parameters=[7])
    assert [value for batch in batches for value in batch.column("id").to_pylist()] == [8, 9]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select * from nowhere", "nowhere"),
        ("select nothing from t", "nothing"),
        ("selec", "syntax|Parser"),
        ("create table u (a int)", "failed|returns no rows"),
    ],
)
def test_a_query_that_fails_says_what_the_database_says(duckdb_file, sql, said):
    with pytest.raises(QueryError, match=said):
        read(sql)


def test_an_error_in_the_data_does_not_quote_it(duckdb_file):
    with pytest.raises(QueryError, match="message is withheld") as caught:
        read("select cast(body as integer) as id from t")
    assert "x0" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_connection_that_is_not_there_is_named():
    with (
        pytest.raises(QueryError, match="nowhere_conn"),
        open_query("select 1", sql_conn_id="nowhere_conn"),
    ):
        pytest.fail("there is no such connection")


def test_a_connection_that_runs_no_sql_is_refused(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "anthropic", "password": "x"}))
    with pytest.raises(QueryError, match="runs no SQL"):
        read("select 1")


def test_sqlite_rows_come_in_chunks_of_one_schema(tmp_path, monkeypatch):
    path = tmp_path / "warehouse.sqlite"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (id integer, body text, note text)")
        connection.executemany("insert into t values (?, ?, null)", [(i, f"b{i}") for i in range(5)])
    connection.close()
    schema, batches = read("select * from t order by id", chunk_rows=2)
    assert schema == pa.schema([("id", pa.int64()), ("body", pa.string()), ("note", pa.string())])
    assert [batch.num_rows for batch in batches] == [2, 2, 1]


def test_a_query_without_rows_still_has_columns(duckdb_file):
    schema, batches = read("select id, body from t where id < 0")
    assert schema.names == ["id", "body"]
    assert sum(batch.num_rows for batch in batches) == 0


def test_python_values_become_arrow_types():
    row = (1, "a", 1.5, True, Decimal("1.10"), dt.date(2026, 1, 1), b"x")
    (batch,) = rows_to_batches(list("abcdefg"), [[row]])
    assert [str(field.type) for field in batch.schema] == [
        "int64",
        "string",
        "double",
        "bool",
        "decimal128(3, 2)",
        "date32[day]",
        "binary",
    ]


def test_a_later_value_that_does_not_fit_names_its_column():
    with pytest.raises(QueryError, match=r"Column a is int64.*Cast it") as caught:
        list(rows_to_batches(["a"], [[(1,)], [("secret",)]]))
    assert "secret" not in str(caught.value)
