"""Every type of Postgres and hostile values of each, by both drivers, from a real server."""

import datetime as dt
import json
import math
import os
import subprocess
import sys
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.errors import QueryError
from airflow_provider_claude_batch.sources.sql import open_query
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.shard_writer import ShardWriter

UTC = dt.UTC
TEXTS = [
    "",
    'it\'s "quoted" \\ and `so`',
    "{{ conn.db.password }} {% if %} {column} {0} %s % $1 :x ?",
    "line\nfeed\r\ttab\x01\x1f\x7f",
    "\u202eright \u05d0\u05d1 \u0627\u0644 left\u202c",
    "\U0001f600 \U0010ffff \u0000".replace("\u0000", "") + "e\u0301 \ufeff",
    "NULL",
    "{a,b}",
]

local = dt.datetime.fromisoformat

#: SQL type, Arrow type, and values: what Postgres is given and what must come back.
TABLE = {
    "smallint": (pa.int16(), [-(2**15), 2**15 - 1, 0]),
    "int": (pa.int32(), [-(2**31), 2**31 - 1, 0]),
    "bigint": (pa.int64(), [-(2**63), 2**63 - 1, 0]),
    "oid": (pa.int64(), [0, 2**32 - 1]),
    "real": (pa.float32(), [1.5, -0.0, math.inf]),
    "double precision": (pa.float64(), [0.1, 5e-324, 1.7976931348623157e308, -math.inf]),
    "boolean": (pa.bool_(), [True, False]),
    "numeric(9, 2)": (pa.decimal128(9, 2), [Decimal("9999999.99"), Decimal("-0.01"), Decimal("0.00")]),
    "numeric(38, 10)": (pa.decimal128(38, 10), [Decimal("9" * 28 + "." + "9" * 10), Decimal("-1E-10")]),
    "numeric(76, 0)": (pa.decimal256(76, 0), [Decimal("9" * 76), Decimal("-" + "9" * 76)]),
    "numeric": (pa.string(), ["9" * 500 + "." + "9" * 500, "-0.1000", "NaN", "Infinity"]),
    "text": (pa.string(), TEXTS),
    "varchar(500)": (pa.string(), TEXTS),
    "char(5)": (pa.string(), ["ab   ", "     "]),
    "bytea": (pa.binary(), [b"", bytes(range(256))]),
    "date": (pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    "timestamp": (
        pa.timestamp("us"),
        [local("0001-01-01"), local("9999-12-31 23:59:59.999999"), local("1970-01-01 00:00:00.000001")],
    ),
    "timestamptz": (
        pa.timestamp("us", "UTC"),
        [dt.datetime(1850, 6, 1, 12, 0, 0, 1, tzinfo=UTC), dt.datetime(9999, 12, 31, tzinfo=UTC)],
    ),
    "time": (pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999999)]),
    "timetz": (pa.string(), ["01:02:03.5+05:30"]),
    "interval": (pa.string(), ["1 year 2 mons -3 days -04:05:06.7"]),
    "uuid": (pa.uuid(), [UUID(int=0), UUID(int=2**128 - 1)]),
    "json": (pa.string(), ['{"a":  1.0, "a": "\\ud83d\\ude00"}', "null", '"x"']),
    "jsonb": (pa.string(), ['{"a": 1.0}', "12345678901234567890.10"]),
    "int[]": (pa.list_(pa.int32()), [[], [1, None, -(2**31)]]),
    "text[]": (pa.list_(pa.string()), [TEXTS, [None, "NULL"]]),
    "boolean[]": (pa.list_(pa.bool_()), [[True, None, False]]),
    "bytea[]": (pa.list_(pa.binary()), [[b"", b'\x00\\"{,}']]),
    "double precision[]": (pa.list_(pa.float64()), [[0.1, None, math.inf, -math.inf]]),
    "uuid[]": (pa.list_(pa.uuid()), [[UUID(int=5), None]]),
    "date[]": (pa.list_(pa.date32()), [[dt.date(2026, 1, 1)]]),
    "timestamptz[]": (pa.list_(pa.timestamp("us", "UTC")), [[dt.datetime(2026, 1, 1, tzinfo=UTC)]]),
    "time[]": (pa.list_(pa.time64("us")), [[dt.time(1, 2)]]),
    "inet": (pa.string(), ["10.0.0.1", "::1/64"]),
    "mood": (pa.string(), ["sad", 'o,"k']),
    "mood[]": (pa.list_(pa.string()), [["sad", 'o,"k', None]]),
    "price": (pa.decimal128(10, 2), [Decimal("1.50")]),
}


def column_values(values: list) -> list:
    """Return as many values as the longest column has, the rest null."""
    return values + [None] * (len(TEXTS) + 1 - len(values))


@pytest.fixture
def every_type(postgres):
    postgres("create type mood as enum ('sad', 'o,\"k')")
    postgres("create domain price as numeric(10, 2)")
    columns = ", ".join(f"c{i} {sql}" for i, sql in enumerate(TABLE))
    postgres(f"create table every_type (n int, {columns})")
    rows = zip(*(column_values(values) for _, values in TABLE.values()), strict=True)
    marks = ", ".join(f"%s::{sql}" for sql in TABLE)
    insert = " ".join(["insert into every_type values (%s,", marks, ")"])
    for n, row in enumerate(rows):
        postgres(insert, (n, *row))
    names = ", ".join(f"c{i}" for i in range(len(TABLE)))
    return "select NAMES from every_type order by n".replace("NAMES", names)


def read(sql, **arguments) -> pa.Table:
    with open_query(sql, sql_conn_id="warehouse", **arguments) as reader:
        return reader.read_all()


def test_every_type_and_hostile_value_arrives_as_it_is_in_the_table(every_type, driver):
    table = read(every_type, chunk_rows=3)
    assert dict(zip(TABLE, table.schema.types, strict=True)) == {
        sql: kind for sql, (kind, _) in TABLE.items()
    }
    for (sql, (_, values)), column in zip(TABLE.items(), table.columns, strict=True):
        assert column.to_pylist() == column_values(values), sql


def test_every_type_goes_through_the_shards_parquet_unchanged(every_type, driver, tmp_path):
    table = read(every_type)
    writer = ShardWriter(tmp_path, round_index=0, index=0, identity="a" * 16, keys_schema=table.schema)
    for rows in table.to_batches():
        writer.write([b'{"params":{}}'] * rows.num_rows, rows)
    writer.finish(ManifestFolder.at(str(tmp_path / "staging")).folder)
    (written,) = (tmp_path / "staging").rglob("*.parquet")
    back = pq.read_table(written)
    assert back.schema.equals(table.schema)
    assert back.equals(table)


@pytest.mark.parametrize(
    "value",
    [
        "'infinity'::date",
        "'-infinity'::timestamp",
        "'infinity'::timestamptz",
        "'0044-03-15 BC'::date",
        "'20000-01-01'::timestamptz",
        "'NaN'::numeric(9, 2)",
        "'24:00'::time",
        "array[array['secret']]",
        "array['infinity'::date]",
    ],
)
def test_a_value_that_arrow_cannot_hold_names_its_column(postgres, driver, value):
    with pytest.raises(QueryError, match="Column opened_on holds a value") as caught:
        read(f"select {value} as opened_on")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select * from nowhere", "nowhere"),
        ("select nothing from (values (1)) v", "nothing"),
        ("selec", "syntax"),
        ("create table u (a int)", "syntax"),
    ],
)
def test_a_query_that_fails_says_what_the_database_says(postgres, driver, sql, said):
    with pytest.raises(QueryError, match=said):
        read(sql)


def test_an_error_in_a_row_far_down_does_not_quote_it(postgres, driver):
    bad = "select case n when 5000 then 'secret' else '1' end::int from generate_series(1, 9000) n"
    with pytest.raises(QueryError, match="withheld") as caught:
        read(bad, chunk_rows=100)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_parameters_reach_the_query(postgres, driver):
    sql = "select n from generate_series(1, 9) n where n > %s and %s = 'a%%'"
    assert read(sql, parameters=[7, "a%"])["n"].to_pylist() == [8, 9]


def test_a_percent_sign_without_parameters_stays(postgres, driver):
    assert read("select 'a' like '%' as yes")["yes"].to_pylist() == [True]


def test_a_query_without_rows_still_has_types(postgres, driver):
    table = read("select 1::bigint as id, now() as at where false")
    assert table.schema == pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", "UTC"))])
    assert table.num_rows == 0


def test_the_query_runs_in_a_cursor_of_the_server(postgres, driver):
    (name,) = read("select name from pg_cursors")["name"].to_pylist()
    assert name.startswith("claude_batch_")


def test_the_server_makes_rows_as_they_are_asked_for(postgres, driver):
    postgres("create sequence made")
    sql = "select nextval('made') as n from generate_series(1, 100000)"
    with open_query(sql, sql_conn_id="warehouse", chunk_rows=10) as reader:
        next(iter(reader))
        ((made,),) = postgres("select last_value from made")
    assert made < 1000


def test_dates_are_read_whatever_style_and_cursor_the_connection_asks_for(postgres, driver, monkeypatch):
    connection = json.loads(os.environ["AIRFLOW_CONN_WAREHOUSE"])
    connection["extra"] = {"options": "-c datestyle=german", "cursor": "dictcursor"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    table = read("select date '2026-02-01' as day, 1 as n")
    assert table.to_pylist() == [{"day": dt.date(2026, 2, 1), "n": 1}]


def test_wide_rows_make_small_chunks(postgres, driver):
    sql = "select n, repeat('x', case when n > 10 then 1000000 else 1 end) as t from generate_series(1, 60) n"
    with open_query(sql, sql_conn_id="warehouse", chunk_rows=20) as reader:
        sizes = [batch.num_rows for batch in reader]
    assert sizes[0] == 20
    assert max(sizes[1:]) <= 16 * 2
    assert sum(sizes) == 60


MEMORY = """
import resource, sys
from airflow.providers.postgres.hooks import postgres
from airflow_provider_claude_batch.sources.sql import open_query
postgres.USE_PSYCOPG3 = sys.argv[1] == "psycopg"
made = f"generate_series(1, {sys.argv[2]}) n"
sql = f"select n as id, repeat(md5(n::text), 32) as body, now() as at from {made}"
with open_query(sql, sql_conn_id="warehouse") as reader:
    rows = sum(batch.num_rows for batch in reader)
assert rows == int(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(driver: str, rows: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, driver, str(rows)], check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1])


def test_300_000_rows_of_a_kilobyte_need_little_more_memory_than_1_000(postgres, driver):
    assert peak_kib(driver, 300_000) - peak_kib(driver, 1_000) < 80_000
