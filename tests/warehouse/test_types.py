"""Values of every kind, as each database holds them after they were written."""

import datetime as dt
import json
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest

from airflow_provider_claude_batch.errors import WarehouseError
from tests.warehouse.datasets import publish, write

MOMENTS = list(map(dt.datetime.fromisoformat, ["2026-11-22 23:59:59.123456", "0001-01-01 00:00:00"]))
TEXTS = ["", "NULL", "\\N", 'it\'s "quoted", \\ and \t', "line\n\\.\r\nfeed", "{a,b} %s ? \U0001f600"]

#: Name, Arrow type, and values.
COLUMNS = {
    "flag": (pa.bool_(), [True, False]),
    "small": (pa.int16(), [-(2**15), 2**15 - 1]),
    "large": (pa.int64(), [-(2**63), 2**63 - 1]),
    "unsigned": (pa.uint64(), [0, 2**63 - 1]),
    "real": (pa.float64(), [0.1, 1e300]),
    "price": (pa.decimal128(9, 2), [Decimal("-1.50"), Decimal("1234567.89")]),
    "day": (pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    "at": (pa.timestamp("us"), MOMENTS),
    "at_ns": (pa.timestamp("ns"), MOMENTS[:1] * 2),
    "instant": (pa.timestamp("us", "UTC"), [moment.replace(tzinfo=dt.UTC) for moment in MOMENTS]),
    "hour": (pa.time64("us"), [dt.time(23, 59, 59, 1), dt.time(0)]),
    "bytes": (pa.binary(), [b"\x00\xff", b""]),
    "guid": (pa.uuid(), [UUID(int=2**127 + 1).bytes, UUID(int=1).bytes]),
    "choice": (pa.dictionary(pa.int32(), pa.string()), ["b", "a"]),
}


def dataset(path, **columns):
    (size,) = {len(values) for _, values in columns.values()}
    arrays = {name: pa.array([*values, None], kind) for name, (kind, values) in columns.items()}
    return publish(path, range(size + 1), **arrays)


def held(warehouse, names):
    quoted = ", ".join(f'"{name}"' for name in names)
    return list(zip(*warehouse(" ".join(["select", quoted, "from labels order by id"])), strict=True))


def as_sqlite_holds(value):
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def as_python(value, kind):
    if value is not None and kind == pa.uuid():
        return UUID(str(value))
    return bytes(value) if value is not None and kind == pa.binary() else value


def test_every_type_arrives_with_its_value_and_its_null(warehouse, tmp_path, request):
    is_sqlite = "sqlite" in request.node.name
    written = dataset(tmp_path / "a.parquet", **COLUMNS)
    for _ in range(2):
        write(written, columns=["id", *COLUMNS])
    for (name, (kind, values)), found in zip(COLUMNS.items(), held(warehouse, COLUMNS), strict=True):
        if kind == pa.uuid():
            expected = [UUID(bytes=value) for value in values]
        else:
            expected = [as_sqlite_holds(value) for value in values] if is_sqlite else values
        *plain, nothing = [as_python(value, kind) for value in found]
        assert nothing is None, name
        assert plain == expected, name


def test_texts_arrive_unchanged(warehouse, tmp_path):
    write(dataset(tmp_path / "a.parquet", text=(pa.string(), TEXTS)), columns=["id", "text"])
    assert held(warehouse, ["text"]) == [(*TEXTS, None)]


def test_a_nul_is_replaced_in_postgres_alone(warehouse, tmp_path, request):
    texts, pairs = ["a\0b"], [["\0", "\\u0000"]]
    columns = {"text": (pa.string(), texts), "pairs": (pa.list_(pa.string()), pairs)}
    write(dataset(tmp_path / "a.parquet", **columns), columns=["id", "text", "pairs"])
    (text, _), (pair, _) = held(warehouse, ["text", "pairs"])
    is_postgres = "psycopg" in request.node.name
    assert text == ("a\ufffdb" if is_postgres else "a\0b")
    pair = json.loads(pair) if isinstance(pair, str) else pair
    assert pair == (["\ufffd", "\\u0000"] if is_postgres else pairs[0])


def test_lists_and_structs_are_json_where_the_database_has_none(warehouse, tmp_path):
    point = pa.struct([("x", pa.int64()), ("tags", pa.list_(pa.string()))])
    values = [{"x": 1, "tags": ["a", 'b"']}]
    columns = {"id": "id", "point": "point"}
    write(dataset(tmp_path / "a.parquet", point=(point, values)), columns=columns)
    ((found, nothing),) = held(warehouse, ["point"])
    assert nothing is None
    assert (json.loads(found) if isinstance(found, str) else found) == values[0]
    warehouse("create table texts (id int, point varchar(99))")
    write(dataset(tmp_path / "a.parquet", point=(point, values)), table="texts", columns=columns)
    ((found,),) = warehouse("select point from texts where id = 0")
    assert json.loads(found) == values[0]


def test_the_default_columns_are_the_answers_and_where_they_come_from(warehouse, tmp_path):
    write(publish(tmp_path / "a.parquet", [1]), columns="answers")
    wanted = ["id", "topic", "claude_custom_id", "claude_outcome", "claude_text", "claude_model"]
    assert len(held(warehouse, wanted)) == 6
    write(publish(tmp_path / "a.parquet", [1]), table="everything", columns=None)
    assert len(warehouse("select claude_sample from everything")) == 1


def test_what_arrives_in_postgres_has_postgres_s_types(postgres, tmp_path):
    write(dataset(tmp_path / "a.parquet", **COLUMNS), columns=["id", *COLUMNS])
    found = postgres(
        "select column_name, data_type from information_schema.columns where table_name = 'labels'"
    )
    assert dict(found) == {
        "id": "bigint",
        "flag": "boolean",
        "small": "smallint",
        "large": "bigint",
        "unsigned": "numeric",
        "real": "double precision",
        "price": "numeric",
        "day": "date",
        "at": "timestamp without time zone",
        "at_ns": "timestamp without time zone",
        "instant": "timestamp with time zone",
        "hour": "time without time zone",
        "bytes": "bytea",
        "guid": "uuid",
        "choice": "text",
    }


def test_a_value_that_does_not_fit_the_table_s_type_is_not_quoted(postgres, tmp_path):
    postgres("create table labels (id int, topic int)")
    with pytest.raises(WarehouseError, match="22P02") as caught:
        write(publish(tmp_path / "a.parquet", [1], topic="a secret"), columns=["id", "topic"])
    assert "secret" not in str(caught.value)
    assert caught.value.sqlstate == "22P02"
