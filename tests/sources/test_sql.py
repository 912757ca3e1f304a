import datetime as dt
import json
import sqlite3
import subprocess
import sys
from decimal import Decimal
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.errors import QueryError, RowError
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


def test_a_connection_whose_provider_is_not_installed_says_so(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", '{"conn_type": "no_such_database"}')
    said = (
        r'Unknown hook type "no_such_database".*No provider that is installed here has it.*Nothing was sent'
    )
    with pytest.raises(QueryError, match=said), open_query("select 1", sql_conn_id="warehouse"):
        pass


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
        "decimal128(38, 2)",
        "date32[day]",
        "binary",
    ]


def test_a_later_value_that_does_not_fit_names_its_column():
    with pytest.raises(QueryError, match=r"Column a is int64.*Cast it") as caught:
        list(rows_to_batches(["a"], [[(1,)], [("secret",)]]))
    assert "secret" not in str(caught.value)


def test_text_that_is_not_unicode_names_the_row_and_not_the_text():
    with pytest.raises(RowError, match="row 3: column a holds text that is not valid Unicode") as caught:
        list(rows_to_batches(["a"], [[("fine",), ("fine",)], [("fine",), ("secret\ud800",)]]))
    assert "secret" not in str(caught.value)


def test_uuids_and_zones_of_python_are_kept():
    at = dt.datetime(2026, 1, 1, 5, 30, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))
    (batch,) = rows_to_batches(["id", "at"], [[(UUID(int=7), at), (None, None)]])
    assert batch.schema == pa.schema([("id", pa.uuid()), ("at", pa.timestamp("us", "UTC"))])
    assert batch.to_pylist()[0] == {"id": UUID(int=7), "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}


def test_every_type_of_duckdb_arrives_as_it_is_in_the_table(tmp_path, monkeypatch):
    path = tmp_path / "warehouse.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(path)}))
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table t (n int, text varchar, big hugeint, id uuid, price decimal(38, 10))"
        )
        rows = [
            (0, "'\"\\ \u202e\U0001f600 {{ x }} {text}", 10**38 - 1, UUID(int=0), Decimal("-1E-10")),
            (1, "nul\x00 and \x1f", -(10**38) + 1, UUID(int=2**128 - 1), Decimal("9" * 28)),
            (2, None, None, None, None),
        ]
        connection.executemany("insert into t values (?, ?, ?, ?, ?)", rows)
    schema, batches = read("select * from t order by n")
    assert schema.field("id").type == pa.uuid()
    assert [tuple(row.values()) for batch in batches for row in batch.to_pylist()] == rows
    table = pa.Table.from_batches(batches)
    pq.write_table(table, tmp_path / "keys.parquet")
    assert pq.read_table(tmp_path / "keys.parquet").equals(table)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("interval '1 month 2 days 3 seconds'", "1 month 2 days 00:00:03"),
        ("'01:02:03+02'::timetz", "01:02:03+02"),
        ("'101'::bit", "101"),
        ("'b'::enum('a', 'b')", "b"),
        ("union_value(a := 1)", "1"),
    ],
)
def test_what_arrow_cannot_say_is_the_text_of_duckdb(duckdb_file, value, text):
    _, (batch,) = read(f'select {value} as "od""d", 1 as n')
    assert batch.to_pylist() == [{'od"d': text, "n": 1}]


@pytest.mark.parametrize(
    "value",
    [
        "'infinity'::date",
        "'-infinity'::timestamp",
        "'infinity'::timestamptz",
        "170141183460469231731687303715884105727::hugeint",
    ],
)
def test_a_value_of_duckdb_that_cannot_be_said_names_its_column(duckdb_file, value):
    with pytest.raises(QueryError, match="Column x holds a"):
        read(f"select {value} as x")


def test_an_error_far_down_in_duckdb_does_not_quote_the_row(duckdb_file):
    bad = "select case i when 200000 then 'secret' else '1' end::int as n from range(300000) r(i)"
    with pytest.raises(QueryError, match="withheld") as caught:
        read(bad, chunk_rows=2048)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.fixture
def sqlite_file(tmp_path, monkeypatch):
    path = tmp_path / "warehouse.sqlite"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return path


def test_every_type_of_sqlite_arrives_as_it_is_in_the_table(sqlite_file, tmp_path):
    rows = [
        (-(2**63), 5e-324, "'\"\\ \u202e\U0001f600 nul\x00 {{ x }}", b"\x00\xff", None),
        (2**63 - 1, -0.0, "", b"", None),
        (None, None, None, None, None),
    ]
    with sqlite3.connect(sqlite_file) as connection:
        connection.execute("create table t (i integer, r real, t text, b blob, n)")
        connection.executemany("insert into t values (?, ?, ?, ?, ?)", rows)
    connection.close()
    schema, batches = read("select * from t order by rowid", chunk_rows=2)
    assert schema.types == [pa.int64(), pa.float64(), pa.string(), pa.binary(), pa.string()]
    assert [tuple(row.values()) for batch in batches for row in batch.to_pylist()] == rows
    table = pa.Table.from_batches(batches)
    pq.write_table(table, tmp_path / "keys.parquet")
    assert pq.read_table(tmp_path / "keys.parquet").equals(table)


def test_a_later_value_of_sqlite_of_another_kind_is_not_quoted(sqlite_file):
    mixed = "select n from (select 1 as n, 1 as i union all select 'secret', 2) order by i"
    with pytest.raises(QueryError, match="Column n is int64") as caught:
        read(mixed, chunk_rows=1)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("end", ["ff", "eda080"], ids=["not UTF-8", "lone surrogate"])
def test_text_of_sqlite_that_is_not_unicode_is_not_quoted(sqlite_file, end):
    with pytest.raises(QueryError, match="withheld") as caught:
        read(f"select cast(x'736563726574{end}' as text) as body")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["chr(55296)", "'\\xED\\xA0\\x80'::blob::varchar", "decode('\\xFF'::blob)"])
def test_duckdb_has_no_text_that_is_not_unicode(duckdb_file, text):
    try:
        _, (batch,) = read(f"select {text} as body")
    except QueryError:
        return
    batch.column("body").to_pylist()[0].encode()


MEMORY = """
import resource, sys
from airflow_provider_claude_batch.sources.sql import open_query
with open_query(sys.argv[1], sql_conn_id="warehouse") as reader:
    rows = sum(batch.num_rows for batch in reader)
assert rows == 300_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_what_duckdb_caches_of_its_tables_does_not_stay_in_memory(duckdb_file):
    with duckdb.connect(str(duckdb_file)) as connection:
        connection.execute(
            "create table large as select i as id, md5(i::varchar) || repeat(md5((i * 7)::varchar), 15) || "
            "md5((i + 1)::varchar) as body from range(300000) r(i)"
        )

    def peak_kib(sql):
        command = [sys.executable, "-c", MEMORY, sql]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    assert peak_kib("select id, body from large") - peak_kib("select 1 from large") < 90_000


def test_a_sort_that_needs_more_than_the_cache_may_have_goes_through(duckdb_file):
    with duckdb.connect(str(duckdb_file)) as connection:
        connection.execute(
            "create table large as select i as id, repeat(md5(i::varchar), 32) as body from range(60000) r(i)"
        )
    _, batches = read("select a.id, a.body from large a join large b using (body) order by body desc")
    bodies = [body for batch in batches for body in batch.column("body").to_pylist()]
    assert len(bodies) == 60_000
    assert bodies == sorted(bodies, reverse=True)


def test_the_query_is_reported_as_the_sql_operators_do(sqlite_file, lineage):
    read("select 1 as n where 1 = ?", parameters=[1])
    (extra,) = lineage.collected_assets.extra
    assert extra.key == "sql_job"
    assert extra.value["sql"] == "select 1 as n where 1 = ?"
    assert type(extra.context).__name__ == "SqliteHook"
