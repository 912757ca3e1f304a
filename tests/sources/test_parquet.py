"""Parquet on local disk and on S3 (moto over a socket): pruning, filters, hive folders, bounded memory."""

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.errors import QueryError, RowError
from airflow_provider_claude_batch.sources.parquet import open_parquet

ROWS = pa.table(
    {
        "id": pa.array(range(10), pa.int64()),
        "lang": pa.array(["de", "fr"] * 5).dictionary_encode(),
        "price": pa.array([Decimal("1.50")] * 10, pa.decimal128(9, 2)),
        "at": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 10, pa.timestamp("us", "Europe/Berlin")),
    }
)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "ds=2026-01-01" / "reviews"
    path.mkdir(parents=True)
    pq.write_table(ROWS.slice(0, 4), path / "part-0.parquet")
    pq.write_table(ROWS.slice(4), path / "part-1.snappy.parquet")
    (path / "_SUCCESS").write_bytes(b"")
    (path / ".part-9.parquet.crc").write_bytes(b"crc")
    return path


def read(source_path, **arguments) -> pa.Table:
    with open_parquet(str(source_path), **arguments) as reader:
        return reader.read_all()


@pytest.mark.parametrize(
    ("source", "ids"),
    [("", range(10)), ("/", range(10)), ("/part-0.parquet", range(4)), ("/*.snappy.parquet", range(4, 10))],
)
def test_a_folder_a_file_and_a_glob_are_read_in_order(folder, source, ids):
    for scheme in ("", "file://"):
        assert read(f"{scheme}{folder}{source}")["id"].to_pylist() == list(ids)


def test_types_are_kept_and_only_the_source_decides_the_columns(folder):
    table = read(folder)
    assert table.schema == pa.schema(
        [
            ("id", pa.int64()),
            ("lang", pa.string()),
            ("price", pa.decimal128(9, 2)),
            ("at", pa.timestamp("us", "UTC")),
        ]
    )
    assert table["lang"].to_pylist() == ["de", "fr"] * 5


def test_columns_and_rows_are_chosen(folder):
    assert read(folder, columns=["price", "id"]).schema.names == ["price", "id"]
    for row_filter in (
        pc.field("lang") == "de",
        [("lang", "=", "de")],
        [[("lang", "in", ["de"]), ("id", "<", 4)], [("lang", "=", "de"), ("id", ">=", 4)]],
    ):
        assert read(folder, columns=["id"], row_filter=row_filter)["id"].to_pylist() == [0, 2, 4, 6, 8]


def test_folders_with_values_in_their_names_are_columns(tmp_path):
    for lang in ("de", "fr"):
        (tmp_path / "in" / f"lang={lang}").mkdir(parents=True)
        pq.write_table(ROWS.select(["id"]).slice(0, 2), tmp_path / "in" / f"lang={lang}" / "0.parquet")
    table = read(tmp_path / "in", row_filter=[("lang", "=", "fr")])
    assert table.to_pylist() == [{"id": 0, "lang": "fr"}, {"id": 1, "lang": "fr"}]


def test_rows_come_in_small_record_batches(folder):
    with open_parquet(str(folder), chunk_rows=3) as reader:
        assert max(batch.num_rows for batch in reader) <= 3


@pytest.mark.parametrize("source", ["nowhere", "nowhere/*.parquet"])
def test_a_source_that_is_not_there_is_an_error(tmp_path, source):
    with pytest.raises(QueryError, match=r"nowhere.*there is no file"):
        read(tmp_path / source)


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    (tmp_path / "a.parquet").write_text("id,name")
    with pytest.raises(QueryError, match="cannot be read as Parquet"):
        read(tmp_path / "a.parquet")


def test_a_column_that_is_not_there_is_named(folder):
    with pytest.raises(QueryError, match="has no body, only id, lang, price, at"):
        read(folder, columns=["id", "body"])


def test_a_file_whose_values_do_not_fit_the_first_ones_types_is_not_quoted(tmp_path):
    pq.write_table(pa.table({"n": pa.array([1])}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"n": pa.array(["secret"])}), tmp_path / "1.parquet")
    with pytest.raises(QueryError, match="withheld") as caught:
        read(tmp_path)
    assert "secret" not in str(caught.value)


def test_text_that_is_not_utf_8_names_the_row_and_not_the_text(tmp_path):
    offsets = pa.array([0, 4, 11], pa.int32()).buffers()[1]
    body = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"finesecret\xff")])
    pq.write_table(pa.table({"id": [1, 2], "body": body}), tmp_path / "0.parquet")
    with pytest.raises(RowError, match=r"row 1 \(id=2\): column body .* not valid Unicode") as caught:
        read(tmp_path, key=["id"])
    assert "secret" not in str(caught.value)


def test_the_path_is_reported_as_an_input(folder, lineage):
    read(folder)
    (found,) = lineage.collected_assets.inputs
    assert found.asset.uri.endswith("/reviews")


@pytest.fixture
def bucket(monkeypatch):
    """Yield an S3 file system with the bucket ``lake``, which the connection ``s3_lake`` reaches."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    extra = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_S3_LAKE", json.dumps(connection))
    from airflow.sdk import ObjectStoragePath

    fs = ObjectStoragePath("s3://s3_lake@lake/").fs
    fs.makedirs("lake", exist_ok=True)
    yield fs
    server.stop()


def test_s3_is_read_as_a_local_disk_is(bucket, folder):
    for file in folder.glob("*.parquet"):
        bucket.put_file(str(file), f"lake/reviews/{file.name}")
    for source in ("reviews", "reviews/*.parquet"):
        table = read(f"s3://s3_lake@lake/{source}", columns=["id"], row_filter=[("lang", "=", "fr")])
        assert table["id"].to_pylist() == [1, 3, 5, 7, 9]


MEMORY = """
import resource, sys
from airflow_provider_claude_batch.sources.parquet import open_parquet
with open_parquet(sys.argv[1]) as reader:
    rows = sum(batch.num_rows for batch in reader)
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)], check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1])


def test_300_000_rows_of_a_kilobyte_need_little_more_memory_than_1_000(tmp_path):
    for rows in (1_000, 300_000):
        schema = pa.schema([("id", pa.int64()), ("body", pa.string())])
        with pq.ParquetWriter(tmp_path / f"{rows}.parquet", schema, use_dictionary=False) as writer:
            bodies = [f"{i:08}" * 128 for i in range(rows)]
            writer.write_table(pa.table([range(rows), bodies], schema=schema), row_group_size=100_000)
    assert peak_kib(tmp_path / "300000.parquet") - peak_kib(tmp_path / "1000.parquet") < 80_000
