"""Landed files that are published as they lie there."""

import datetime as dt
from decimal import Decimal
from functools import partial

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_claude_batch.errors import QualityGateError, ResultsIncompleteError
from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from airflow_provider_claude_batch.submission.dataset_join import are_of, join_files
from airflow_provider_claude_batch.submission.parquet_rows import read_rows
from tests.provider.datasets import (
    SCHEMA,
    digests,
    publish_all,
    read_published,
    row,
    to_batches,
)

RICH = pa.schema(
    [
        ("id", pa.int64()),
        ("label", pa.dictionary(pa.int32(), pa.string())),
        ("tags", pa.list_(pa.struct([("name", pa.string()), ("at", pa.timestamp("us", "UTC"))]))),
        ("cost", pa.decimal128(20, 12)),
        ("text", pa.string()),
    ]
)
MOMENT = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)


def rich_table(first, count):
    numbers = range(first, first + count)
    columns = {
        "id": numbers,
        "label": [("good", "bad", None)[i % 3] for i in numbers],
        "tags": [None if i % 7 == 0 else [{"name": f"t{i}", "at": MOMENT}] * (i % 3) for i in numbers],
        "cost": [None if i % 5 == 0 else Decimal(i) / 1000 for i in numbers],
        "text": [None if i % 11 == 0 else f"text {i} " * (i % 9) for i in numbers],
    }
    return pa.table(columns, RICH)


def written(path, table, **options):
    pq.write_table(table, path, **{"compression": "zstd", "row_group_size": 100, **options})
    return partial(path.open, "rb")


@settings(deadline=None, max_examples=40)
@given(
    counts=st.lists(st.tuples(st.integers(0, 200), st.integers(10, 300)), max_size=4),
    max_bytes=st.one_of(st.none(), st.integers(1, 30_000)),
)
def test_the_rows_of_the_files_are_those_of_the_sources_in_order(tmp_path_factory, counts, max_bytes):
    folder = tmp_path_factory.mktemp("join")
    tables = [rich_table(1000 * number, count) for number, (count, _) in enumerate(counts)]
    sources = [
        written(folder / f"{number}.parquet", table, row_group_size=size)
        for number, (table, (_, size)) in enumerate(zip(tables, counts, strict=True))
    ]
    files = join_files(sources, folder / "files", max_file_bytes=max_bytes)
    expected = [found for table in tables for found in table.to_pylist()]
    assert sum(file.rows for file in files) == len(expected)
    assert all(file.bytes == file.path.stat().st_size for file in files)
    assert all(file.bytes >= max_bytes for file in files[:-1])
    found = [pq.read_table(file.path) for file in files]
    assert all(table.schema == RICH for table in found)
    assert [found for table in found for found in table.to_pylist()] == expected
    assert max_bytes is not None or len(files) == bool(expected)


@pytest.fixture
def joined(tmp_path):
    sources = [written(tmp_path / f"{i}.parquet", rich_table(1000 * i, 1000)) for i in range(3)]
    [file] = join_files(sources, tmp_path / "files", max_file_bytes=None)
    return file


def text_of(file, number):
    """Let DuckDB find a row, which leaves out what cannot hold it."""
    [[text]] = duckdb.read_parquet(str(file.path)).filter(f"id = {number}").project("text").fetchall()
    return text


def test_other_readers_read_the_same_rows(joined):
    expected = pa.concat_tables([rich_table(1000 * i, 1000) for i in range(3)])
    assert duckdb.read_parquet(str(joined.path)).fetchall() == [
        tuple(found.values()) for found in expected.to_pylist()
    ]
    assert pl.read_parquet(joined.path).to_dicts() == expected.to_pylist()


def test_a_row_group_that_cannot_hold_a_row_is_still_left_out_by_readers(joined):
    metadata = pq.read_metadata(joined.path)
    bounds = [metadata.row_group(i).column(0).statistics for i in range(metadata.num_row_groups)]
    assert [(one.min, one.max) for one in bounds] == [(100 * i, 100 * i + 99) for i in range(30)]
    for number in range(7, 3000, 173):
        assert text_of(joined, number) == rich_table(number, 1)["text"][0].as_py()
        assert pq.read_table(joined.path, filters=[("id", "=", number)])["id"].to_pylist() == [number]


def test_what_lies_beside_the_pages_is_not_looked_for_in_the_wrong_place(tmp_path):
    beside = {"write_page_index": True, "bloom_filter_options": {"id": {"ndv": 1000}}}
    sources = [written(tmp_path / f"{i}.parquet", rich_table(1000 * i, 1000), **beside) for i in range(2)]
    [file] = join_files(sources, tmp_path / "files", max_file_bytes=None)
    column = pq.read_metadata(file.path).row_group(0).column(0)
    assert (column.has_offset_index, column.has_column_index) == (False, False)
    assert text_of(file, 1234) == rich_table(1234, 1)["text"][0].as_py()


def test_files_are_of_a_schema_that_would_be_written_with_the_very_same_columns(tmp_path):
    table = rich_table(0, 10)
    source = written(tmp_path / "a.parquet", table)
    assert are_of(RICH, [source])
    assert are_of(RICH, [])
    assert not are_of(RICH.remove(0), [source])
    assert not are_of(RICH.set(0, pa.field("id", pa.int32())), [source])
    assert not are_of(RICH.set(0, pa.field("id", pa.int64(), nullable=False)), [source])
    other = written(tmp_path / "b.parquet", table.replace_schema_metadata({"by": "another version"}))
    assert not are_of(RICH, [source, other])


def test_only_the_columns_that_are_asked_for_are_read(tmp_path):
    source = written(tmp_path / "a.parquet", rich_table(0, 250))
    batches = list(read_rows([source, source], ["text", "id"]))
    assert {tuple(batch.schema.names) for batch in batches} == {("text", "id")}
    assert sum(batch.num_rows for batch in batches) == 500


# Published


ROWS = [row(number, claude_outcome="errored" if number % 10 == 0 else "ok") for number in range(900)]


@pytest.fixture
def landed(tmp_path):
    """Lay the first 800 rows into two files."""
    folder = tmp_path / "landed"
    folder.mkdir()
    parts = [ROWS[:500], ROWS[500:800]]
    return [
        written(folder / f"{number}.parquet", pa.Table.from_batches(to_batches(part)).unify_dictionaries())
        for number, part in enumerate(parts)
    ]


HOWS = [
    PublishHow(key=("id",)),
    PublishHow(sort_by=("lang", "id")),
    PublishHow(partition_by=("kind",)),
    PublishHow(key=("id",), max_file_bytes=5_000),
]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("rest", [ROWS[800:], []], ids=["with others", "alone"])
def test_landed_rows_are_published_like_any_others(tmp_path, landed, how, rest):
    count = 800 + len(rest)
    published = publish_all(tmp_path / "a", rest, row_count=count, how=how, landed=landed)
    expected = publish_all(tmp_path / "b", ROWS[:count], how=how)
    assert read_published(tmp_path / "a").to_pylist() == read_published(tmp_path / "b").to_pylist()
    assert read_published(tmp_path / "a").schema == SCHEMA
    assert published.tally == expected.tally
    assert published.tally.outcomes == {"ok": count * 9 // 10, "errored": count // 10}


def test_landed_rows_are_not_written_again(tmp_path, landed):
    publish_all(tmp_path / "out", ROWS[800:], row_count=900, landed=landed)
    published = (tmp_path / "out" / "data.parquet").read_bytes()
    for opened in landed:
        with opened() as file:
            metadata = pq.read_metadata(file)
            size = sum(
                metadata.row_group(0).column(i).total_compressed_size for i in range(metadata.num_columns)
            )
            file.seek(4)
            assert file.read(size) in published


def test_landed_rows_are_the_same_bytes_each_time(tmp_path, landed):
    for name in ("a", "b"):
        publish_all(
            tmp_path / name, ROWS[800:], row_count=900, landed=landed, how=PublishHow(max_file_bytes=5_000)
        )
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_landed_rows_are_counted_and_judged(tmp_path, landed):
    seen = []

    def refuse(tally, dataset):
        seen.append(sum(pq.read_metadata(file).num_rows for file in dataset.files))
        raise QualityGateError("too few", outcomes=tally.outcomes)

    with pytest.raises(ResultsIncompleteError, match="asks for 900 rows and there are 800"):
        publish_all(tmp_path / "out", [], row_count=900, landed=landed)
    with pytest.raises(QualityGateError) as caught:
        publish_all(tmp_path / "out", ROWS[800:], row_count=900, landed=landed, gate=refuse)
    assert seen == [900]
    assert caught.value.outcomes == {"ok": 810, "errored": 90}
    assert not (tmp_path / "out").exists()


def test_landed_files_without_rows_are_a_dataset_without_rows(tmp_path):
    source = written(tmp_path / "empty.parquet", SCHEMA.empty_table())
    publish_all(tmp_path / "out", [], row_count=0, landed=[source])
    assert read_published(tmp_path / "out").equals(SCHEMA.empty_table())
