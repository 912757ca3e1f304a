"""Readers that go on while the dataset is replaced: each sees old rows or new ones."""

import json
import threading
import time
from collections.abc import Callable

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from airflow_provider_claude_batch.submission import dataset_files
from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from airflow_provider_claude_batch.submission.storage import Folder
from tests.provider.datasets import publish_all, row

#: Versions of a dataset. Their rows and their bytes differ, and so do the places of the bytes.
VERSIONS = {
    version: [row(number, body=version, claude_text=version * (number % 7)) for number in range(count)]
    for version, count in (("old", 400), ("new one", 300))
}
READS = 6
PATIENCE_SECONDS = 60


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.proof)])
def store(request, tmp_path):
    if request.param == "disk":
        return str(tmp_path / "out")
    return f"{request.getfixturevalue('s3')}/{tmp_path.name}"


@pytest.fixture(autouse=True)
def small_row_groups(monkeypatch):
    monkeypatch.setattr(dataset_files, "ROW_GROUP_BYTES", 15_000)


def file_system(uri: str):
    """Return a file system that remembers no listing, as a process that has just started."""
    if uri.startswith("s3://"):
        return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    return Folder.at(uri).fs


def files_of(uri: str) -> list[str]:
    """Return the files of a dataset, by its manifest where there is one."""
    folder = Folder.at(uri)
    manifest = folder.read("_manifest.json")
    paths = ["data.parquet"] if manifest is None else [f["path"] for f in json.loads(manifest)["files"]]
    return [f"{folder.root}/{path}" for path in paths]


def read_by_pyarrow(uri: str) -> pa.Table:
    return pq.read_table(files_of(uri), filesystem=file_system(uri), partitioning=None)


def read_by_duckdb(uri: str) -> pa.Table:
    files = files_of(uri)
    with duckdb.connect() as connection:
        if uri.startswith("s3://"):
            connection.register_filesystem(file_system(uri))
            files = [f"s3://{file}" for file in files]
        return connection.read_parquet(files).to_arrow_table()


def version_of(table: pa.Table) -> str:
    """Return the version that a table is; one that is none of them, and so a mixture, raises."""
    [version] = set(table["body"].to_pylist())
    expected = {found["id"]: found["claude_text"] for found in VERSIONS[version]}
    assert dict(zip(table["id"].to_pylist(), table["claude_text"].to_pylist(), strict=True)) == expected
    assert table.num_rows == len(expected)
    return version


def read_while_replaced(
    uri: str, read: Callable[[str], pa.Table], how: PublishHow, *, patience: float = PATIENCE_SECONDS
) -> tuple[set[str], int]:
    """Return the versions that a reader has seen while they were replaced, and how many reads failed."""
    publish_all(uri, VERSIONS["old"], how=how)
    has_ended = threading.Event()

    def publish():
        while not has_ended.is_set():
            for rows in reversed(VERSIONS.values()):
                publish_all(uri, rows, how=how)

    seen, failed = set(), 0
    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        reads, until = 0, time.monotonic() + patience
        # On a busy machine many reads may come between two publications.
        while (reads < READS or len(seen) < len(VERSIONS)) and time.monotonic() < until:
            reads += 1
            try:
                table = read(uri)
            except (OSError, pa.ArrowInvalid, duckdb.Error):
                failed += 1
                continue
            seen.add(version_of(table))
    finally:
        has_ended.set()
        publisher.join()
    return seen, failed


@pytest.mark.parametrize("read", [read_by_pyarrow, read_by_duckdb])
@pytest.mark.parametrize("how", [PublishHow(partition_by=("kind",)), PublishHow(max_file_bytes=1_000)])
def test_a_reader_of_the_manifest_never_sees_a_mixture_and_never_fails(store, read, how):
    assert read_while_replaced(store, read, how) == (set(VERSIONS), 0)


@pytest.mark.parametrize("read", [read_by_pyarrow, read_by_duckdb])
def test_a_reader_of_the_one_object_sees_old_or_new_or_fails(store, read):
    # It may fail: it opens the object for the schema and again for the rows, or finds another ETag on S3.
    seen, _ = read_while_replaced(store, read, PublishHow(), patience=5)
    assert seen <= set(VERSIONS)


def test_a_reader_that_opens_the_one_object_once_never_fails_on_disk(tmp_path):
    def read_once(uri: str) -> pa.Table:
        [path] = files_of(uri)
        with pq.ParquetFile(path) as file:
            return file.read()

    assert read_while_replaced(str(tmp_path), read_once, PublishHow()) == (set(VERSIONS), 0)


def test_a_reader_of_a_manifest_is_not_disturbed_when_the_layout_changes(tmp_path):
    layouts = [PublishHow(partition_by=("kind",)), PublishHow()]
    for number, (version, rows) in enumerate([*VERSIONS.items()] * 2):
        before = files_of(str(tmp_path)) if number else []
        publish_all(tmp_path, rows, how=layouts[number % 2])
        assert version_of(read_by_pyarrow(str(tmp_path))) == version
        if number % 2:
            assert pq.read_table(before, partitioning=None).num_rows == len(VERSIONS["old"])
