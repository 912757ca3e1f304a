"""From a table with every kind of key to the Parquet of its answers, through the real SDK."""

import json
import sqlite3
import time

import duckdb
import pyarrow as pa
import pytest

from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from tests.provider.submitting import Submission

HOSTILE = [
    "{{ conn.warehouse.password }} {% if %}",
    '{text} {} { "a": 1 }',
    "quote ' \" \\ / \t\n",
    "\u202e right to left \u05d0",
    "four bytes \U0001f600",
    "control \x01 \x1f",
]


@pytest.fixture
def submission(tmp_path, claude_batch_emulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", claude_batch_emulator.connection_json)
    hook = ClaudeBatchHook()
    with hook.client:
        yield Submission(ManifestFolder.at(str(tmp_path / "staging" / "g00")), tmp_path / "out", hook)


def published(submission, *, key, passthrough):
    submission.snapshot(
        "select * from every_kind order by n",
        key=key,
        passthrough=passthrough,
        prompt="Say: {text}",
        output_schema=None,
    )
    submission.send()
    for _ in range(100):
        if submission.hook.client.messages.batches.list().data[0].processing_status == "ended":
            break
        time.sleep(0.05)
    submission.land()
    return submission.publish().sort_by("n")


def test_keys_of_every_postgres_type_come_back_as_they_are_in_the_table(submission, postgres):
    postgres(
        "create table every_kind (n bigint, price numeric(30, 4), day date, at timestamptz, id uuid, "
        "text text, ok boolean, raw bytea, doc jsonb, tags text[], nothing int)"
    )
    for n, text in enumerate(HOSTILE):
        postgres(
            "insert into every_kind values (%s, %s, %s, %s, gen_random_uuid(), %s, %s, %s, %s, %s, null)",
            (
                2**63 - 1 - n,
                f"{10**25}.{n:04d}",
                f"2026-01-0{n + 1}",
                f"2026-01-01 00:00:0{n}.123456+05:30",
                text,
                bool(n % 2),
                bytes(range(256)),
                json.dumps({"n": n, "text": text.replace("\x01", "").replace("\x1f", "")}),
                [text, None],
            ),
        )
    table = published(
        submission,
        key=["n", "price", "day", "at", "id", "text"],
        passthrough=["ok", "raw", "tags", "nothing"],
    )
    expected = postgres(
        "select n, price, day, at, id, text, ok, raw, tags, nothing from every_kind order by n"
    )
    names = ["n", "price", "day", "at", "id", "text", "ok", "raw", "tags", "nothing"]
    columns = [table[name].to_pylist() for name in names]
    assert list(zip(*columns, strict=True)) == [tuple(row) for row in expected]
    kinds = {name: str(table.schema.field(name).type) for name in names}
    assert kinds == {
        "n": "int64",
        "price": "decimal128(30, 4)",
        "day": "date32[day]",
        "at": "timestamp[us, tz=UTC]",
        "id": "extension<arrow.uuid>",
        "text": "string",
        "ok": "bool",
        "raw": "binary",
        "tags": "list<element: string>",
        "nothing": "int32",
    }
    texts = zip(table["text"].to_pylist(), table["claude_text"].to_pylist(), strict=True)
    assert all(answer.startswith("Say: ") and text.split("\n")[0][:8] in answer for text, answer in texts)


def test_keys_of_duckdb_come_back_with_their_types(submission, tmp_path, monkeypatch):
    path = tmp_path / "warehouse.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(path)}))
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table every_kind (n bigint, price decimal(38, 10), day date, moment timestamp, id uuid, "
            "text varchar, small utinyint)"
        )
        for n, text in enumerate(HOSTILE):
            connection.execute(
                "insert into every_kind values (?, ?, ?, ?, uuid(), ?, ?)",
                [-(2**63) + n, f"{n}.0000000001", "2026-01-01", f"2026-01-01 00:00:0{n}.5", text, 255 - n],
            )
        expected = connection.execute(
            "select n, price, day, moment, text, small from every_kind order by n"
        ).fetchall()
    table = published(submission, key=["n", "text"], passthrough=["price", "day", "moment", "id", "small"])
    columns = [table[name].to_pylist() for name in ("n", "price", "day", "moment", "text", "small")]
    assert list(zip(*columns, strict=True)) == expected
    assert table.schema.field("price").type == pa.decimal128(38, 10)
    assert table.schema.field("small").type == pa.uint8()


def test_keys_of_sqlite_come_back_value_for_value(submission, tmp_path, monkeypatch):
    path = tmp_path / "warehouse.sqlite"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    rows = [(n, text, n / 3, bytes([n])) for n, text in enumerate([*HOSTILE, "a NUL \x00 inside"])]
    with sqlite3.connect(path) as connection:
        connection.execute("create table every_kind (n integer, text text, real real, raw blob)")
        connection.executemany("insert into every_kind values (?, ?, ?, ?)", rows)
    connection.close()
    table = published(submission, key=["n", "text"], passthrough=["real", "raw"])
    columns = [table[name].to_pylist() for name in ("n", "text", "real", "raw")]
    assert list(zip(*columns, strict=True)) == rows
