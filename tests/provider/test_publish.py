"""A dataset as it is laid out, replaced and removed."""

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.errors import (
    ClaudeBatchInputError,
    DatasetError,
    DestinationError,
    QualityGateError,
    ResultsIncompleteError,
)
from airflow_provider_claude_batch.submission import dataset_files, dataset_partitions, dataset_sort
from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from airflow_provider_claude_batch.submission.publish import Destination
from tests.provider.datasets import NOW, SCHEMA, digests, publish_all, read_published, row, to_batches

ROWS = [row(number) for number in range(1000)]
SHUFFLED = [ROWS[number * 367 % 1000] for number in range(1000)]
DAY = dt.timedelta(days=1)


@pytest.fixture
def small_blocks(monkeypatch):
    """Let a few rows be a run, a block and a row group, as a million are otherwise."""
    monkeypatch.setattr(dataset_sort, "RUN_BYTES", 20_000)
    monkeypatch.setattr(dataset_sort, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(dataset_files, "ROW_GROUP_BYTES", 10_000)


def manifest_of(folder, name="_manifest.json"):
    return json.loads((folder / name).read_text())


def plain(table: pa.Table) -> list[dict[str, object]]:
    return table.to_pylist()


def test_rows_are_one_object_and_nothing_else(tmp_path):
    published = publish_all(tmp_path, ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["data.parquet"]
    assert published.files == [f"{tmp_path}/data.parquet"]
    assert published.manifest is None
    assert published.tally.rows == 1000
    table = pq.read_table(tmp_path / "data.parquet")
    assert table.schema == SCHEMA
    assert plain(table) == plain(pa.Table.from_batches(to_batches(ROWS)))


def test_no_rows_are_an_object_without_rows(tmp_path):
    publish_all(tmp_path, [])
    assert pq.read_table(tmp_path / "data.parquet").equals(SCHEMA.empty_table())


def test_a_file_is_compressed_with_zstd(tmp_path):
    publish_all(tmp_path, ROWS)
    column = pq.read_metadata(tmp_path / "data.parquet").row_group(0).column(0)
    assert column.compression == "ZSTD"


def test_rows_that_are_not_all_there_are_not_published(tmp_path):
    publish_all(tmp_path, ROWS[:3])
    before = digests(tmp_path)
    with pytest.raises(
        ResultsIncompleteError, match=r"asks for 1000 rows and there are 999.*keeps what it had"
    ):
        publish_all(tmp_path, ROWS[:-1], row_count=1000)
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    "how", [PublishHow(), PublishHow(sort_by=("id",)), PublishHow(partition_by=("lang",))]
)
def test_rows_that_the_gate_refuses_leave_the_destination_as_it_was(tmp_path, how):
    def refuse(tally, dataset):
        raise QualityGateError("too few", outcomes=tally.outcomes)

    publish_all(tmp_path, ROWS[:3])
    before = digests(tmp_path)
    with pytest.raises(QualityGateError, match=r"too few.*keeps what it had.*pays for nothing") as caught:
        publish_all(tmp_path, ROWS, gate=refuse, how=how)
    assert caught.value.outcomes == {"ok": 1000}
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    "how", [PublishHow(), PublishHow(sort_by=("id",)), PublishHow(partition_by=("lang",))]
)
def test_the_gate_sees_every_row_in_its_own_columns(tmp_path, how, small_blocks):
    seen = []

    def look(tally, dataset):
        seen.append((tally.rows, pa.concat_tables(pq.read_table(file) for file in dataset.files)))

    publish_all(tmp_path, ROWS, gate=look, how=how)
    [(count, table)] = seen
    assert count == 1000
    assert table.schema == SCHEMA
    assert sorted(table["id"].to_pylist()) == list(range(1000))


# Files of a size


def test_a_dataset_larger_than_a_file_may_be_is_several_that_the_manifest_names(tmp_path, small_blocks):
    published = publish_all(tmp_path, ROWS, how=PublishHow(max_file_bytes=10_000))
    manifest = manifest_of(tmp_path)
    assert published.manifest == f"{tmp_path}/_manifest.json"
    assert published.files == [f"{tmp_path}/{file['path']}" for file in manifest["files"]]
    assert len(published.files) > 2
    assert sum(file["rows"] for file in manifest["files"]) == 1000
    assert [(tmp_path / file["path"]).stat().st_size for file in manifest["files"]] == [
        file["bytes"] for file in manifest["files"]
    ]
    assert all(file["bytes"] >= 10_000 for file in manifest["files"][:-1])
    assert read_published(tmp_path)["id"].to_pylist() == list(range(1000))


def test_a_destination_that_is_one_file_stays_one_however_large(tmp_path, small_blocks):
    publish_all(tmp_path / "x.parquet", ROWS, how=PublishHow(max_file_bytes=10_000))
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_the_manifest_says_identity_time_and_types(tmp_path):
    publish_all(tmp_path, ROWS, how=PublishHow(partition_by=("lang",)))
    manifest = manifest_of(tmp_path)
    assert manifest["schema_version"] == 1
    assert manifest["identity"] == "0123456789abcdef"
    assert manifest["published_at"] == "2026-11-22T00:00:00Z"
    assert manifest["columns"]["id"] == "int64"
    assert list(manifest["columns"]) == SCHEMA.names
    assert manifest["partition_by"] == ["lang"]


# Order


@pytest.mark.parametrize(
    "columns", [("id",), ("lang",), ("kind", "day"), ("day", "lang", "id"), ("claude_cost_usd",)]
)
def test_rows_come_in_order_with_equal_ones_as_they_came(tmp_path, columns, small_blocks):
    publish_all(tmp_path, SHUFFLED, how=PublishHow(sort_by=columns), batch_size=37)
    expected = sorted(
        SHUFFLED, key=lambda found: [(found[name] is None, found[name] or 0) for name in columns]
    )
    assert pq.read_table(tmp_path / "data.parquet")["id"].to_pylist() == [found["id"] for found in expected]


@pytest.mark.parametrize(
    "values",
    [
        [1.5, float("nan"), None, -0.0, 0.0, float("-inf")],
        [True, None, False],
        [b"b", None, b"", b"\xff"],
        ["b", "\U0001f600", "\ue000", None, ""],
        [dt.time(5), None, dt.time(1)],
        [dt.timedelta(1), None, dt.timedelta(-1)],
        [dt.datetime(2026, 1, 2, tzinfo=dt.UTC), None, dt.datetime(1960, 1, 2, tzinfo=dt.UTC)],
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_runs_are_merged_as_arrow_sorts(tmp_path, values, small_blocks):
    numbers = range(len(values) * 500)
    table = pa.table(
        {"v": [values[i % len(values)] for i in numbers], "n": numbers, "pad": ["x" * 50] * len(numbers)}
    )
    batches = table.to_batches(max_chunksize=70)
    runs = dataset_sort.rows_to_runs(batches, table.schema, tmp_path / "runs", ["v"])
    assert len(runs.blocks) > 2
    merged = pa.concat_tables(dataset_sort.merge_runs(runs))
    in_order = table.take(pa.compute.sort_indices(table, sort_keys=[("v", "ascending")]))
    assert merged["n"].to_pylist() == in_order["n"].to_pylist()


def test_a_uuid_and_nanoseconds_can_be_sorted_by(tmp_path, small_blocks):
    ids = pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([bytes([i * 7 % 256] * 16) for i in range(2000)], pa.binary(16))
    )
    table = pa.table({"u": ids, "t": pa.array(range(2000), pa.timestamp("ns"))})
    runs = dataset_sort.rows_to_runs(
        table.to_batches(max_chunksize=90), table.schema, tmp_path / "r", ["u", "t"]
    )
    merged = pa.concat_tables(dataset_sort.merge_runs(runs))
    assert merged.schema == table.schema
    found = list(zip(merged["u"].to_pylist(), merged["t"].cast(pa.int64()).to_pylist(), strict=True))
    assert found == sorted(found)


def test_the_same_rows_are_the_same_bytes(tmp_path, small_blocks):
    how = PublishHow(sort_by=("day", "id"), partition_by=("lang",), max_file_bytes=5_000)
    for name in ("a", "b"):
        publish_all(tmp_path / name, SHUFFLED, how=how)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


@pytest.mark.parametrize("how", [PublishHow(sort_by=("nope",)), PublishHow(partition_by=("nope",))])
def test_a_column_that_is_not_there_is_named(tmp_path, how):
    with pytest.raises(DatasetError, match=r"no column nope.*pays for nothing"):
        publish_all(tmp_path, ROWS, how=how)


def test_sorting_by_true_is_sorting_by_the_key():
    assert PublishHow.of(key="id", sort_by=True).order == ("id",)
    with pytest.raises(ClaudeBatchInputError, match="there is none"):
        PublishHow.of(sort_by=True)


# Partitions


def test_each_partition_is_a_folder_named_as_hive_does(tmp_path, small_blocks):
    publish_all(tmp_path, ROWS, how=PublishHow(partition_by=("lang", "kind")))
    paths = [file["path"].split("/", 1)[1] for file in manifest_of(tmp_path)["files"]]
    assert len(paths) == 12
    assert "lang=de/kind=k0/part-00000.parquet" in paths
    assert "lang=a%2Fb%20%3D%25%C3%BC/kind=k1/part-00000.parquet" in paths
    assert "lang=__HIVE_DEFAULT_PARTITION__/kind=k2/part-00000.parquet" in paths
    assert sorted(plain(read_published(tmp_path)), key=lambda found: found["id"]) == plain(
        pa.Table.from_batches(to_batches(ROWS))
    )


def test_rows_of_a_partition_stay_as_they_came_or_are_sorted(tmp_path, small_blocks):
    publish_all(tmp_path / "came", SHUFFLED, how=PublishHow(partition_by=("day",)))
    publish_all(tmp_path / "sorted", SHUFFLED, how=PublishHow(partition_by=("day",), sort_by=("id",)))
    came = [found["id"] for found in SHUFFLED if found["day"] == dt.date(2026, 11, 1)]
    for name, expected in (("came", came), ("sorted", sorted(came))):
        [path] = (tmp_path / name).rglob("day=2026-11-01/*.parquet")
        assert pq.read_table(path, partitioning=None)["id"].to_pylist() == expected


def test_a_partitioned_dataset_without_rows_has_one_file_without_rows(tmp_path):
    publish_all(tmp_path, [], how=PublishHow(partition_by=("lang",)))
    assert read_published(tmp_path).equals(SCHEMA.empty_table())


@pytest.mark.parametrize("column", ["claude_cost_usd"])
def test_rows_are_not_partitioned_by_what_is_no_name(tmp_path, column):
    with pytest.raises(DatasetError, match=r"partitioned by texts, whole numbers"):
        publish_all(tmp_path, ROWS, how=PublishHow(partition_by=(column,)))


def test_too_many_partitions_are_a_mistake(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_partitions, "MAX_PARTITIONS", 10)
    with pytest.raises(DatasetError, match=r"more than 10 partitions.*keeps what it had"):
        publish_all(tmp_path, ROWS, how=PublishHow(partition_by=("id",)))


def test_a_value_too_long_for_a_name_is_not_quoted(tmp_path):
    with pytest.raises(DatasetError, match=r"column lang is too long") as caught:
        publish_all(tmp_path, [row(0, lang="secret" * 100)], how=PublishHow(partition_by=("lang",)))
    assert "secret" not in str(caught.value)


def test_one_file_cannot_be_partitioned(tmp_path):
    with pytest.raises(DatasetError, match="give a folder"):
        publish_all(tmp_path / "x.parquet", ROWS, how=PublishHow(partition_by=("lang",)))


# From one to the other


PARTITIONED = PublishHow(partition_by=("lang",))


def prefixes(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_publishing_the_same_again_changes_nothing(tmp_path):
    publish_all(tmp_path, ROWS, how=PARTITIONED)
    before = digests(tmp_path)
    publish_all(tmp_path, ROWS, how=PARTITIONED, now=NOW + 10 * DAY)
    assert digests(tmp_path) == before


def test_other_rows_of_the_same_submission_get_a_prefix_of_their_own(tmp_path):
    publish_all(tmp_path, ROWS, how=PARTITIONED)
    publish_all(tmp_path, ROWS[:500], how=PARTITIONED)
    assert len(prefixes(tmp_path)) == 2
    assert read_published(tmp_path).num_rows == 500


def test_the_object_goes_when_the_dataset_becomes_several_files(tmp_path):
    publish_all(tmp_path, ROWS)
    publish_all(tmp_path, ROWS[:500], how=PARTITIONED)
    assert not (tmp_path / "data.parquet").exists()
    assert read_published(tmp_path).num_rows == 500


def test_the_manifest_names_the_object_when_the_dataset_becomes_one_again(tmp_path):
    publish_all(tmp_path, ROWS[:500], how=PARTITIONED)
    publish_all(tmp_path, ROWS, now=NOW + DAY / 2)
    assert [file["path"] for file in manifest_of(tmp_path)["files"]] == ["data.parquet"]
    assert read_published(tmp_path).num_rows == 1000
    assert len(prefixes(tmp_path)) == 1


def test_files_that_were_replaced_stay_for_a_day_and_are_then_removed(tmp_path):
    publish_all(tmp_path, ROWS[:1], how=PARTITIONED)
    [first] = prefixes(tmp_path)
    publish_all(tmp_path, ROWS[:2], how=PARTITIONED, now=NOW + 5 * DAY)
    publish_all(tmp_path, ROWS[:3], how=PARTITIONED, now=NOW + 5.5 * DAY)
    assert first in prefixes(tmp_path)
    publish_all(tmp_path, ROWS[:4], now=NOW + 6 * DAY)
    assert first not in prefixes(tmp_path)
    assert len(prefixes(tmp_path)) == 2
    publish_all(tmp_path, ROWS[:4], now=NOW + 9 * DAY)
    assert prefixes(tmp_path) == []
    assert manifest_of(tmp_path)["replaced"] == []


def test_a_prefix_that_is_the_dataset_again_is_not_removed(tmp_path):
    for days, rows in enumerate([ROWS[:1], ROWS[:2], ROWS[:1], ROWS[:1]]):
        publish_all(tmp_path, rows, how=PARTITIONED, now=NOW + days * 3 * DAY)
    assert read_published(tmp_path).num_rows == 1


def test_nothing_else_in_the_folder_is_removed(tmp_path):
    stranger = tmp_path / "data-theirs-0123456789abcdef" / "x.parquet"
    outside = tmp_path / "kept.txt"
    destination = tmp_path / "out"
    stranger.parent.mkdir()
    for path in (stranger, outside):
        path.write_text("theirs")
    publish_all(destination, ROWS[:1], how=PARTITIONED)
    manifest = manifest_of(destination)
    manifest["replaced"] = [
        {"prefix": prefix, "replaced_at": "2020-01-01T00:00:00Z"} for prefix in ("..", "../kept.txt", "", ".")
    ]
    (destination / "_manifest.json").write_text(json.dumps(manifest))
    publish_all(destination, ROWS[:2], how=PARTITIONED)
    assert stranger.exists()
    assert outside.exists()
    assert len(prefixes(destination)) == 2


def test_instances_of_a_mapped_task_leave_each_others_files_alone(tmp_path):
    for days, count in enumerate((1, 2, 3)):
        for index in (0, 1):
            destination = Destination.at(str(tmp_path), map_index=index)
            publish_all(destination, ROWS[: count + index], how=PARTITIONED, now=NOW + days * 2 * DAY)
    for index in (0, 1):
        manifest = manifest_of(tmp_path, f"_manifest-0000{index}.json")
        assert sum(file["rows"] for file in manifest["files"]) == 3 + index
        assert all((tmp_path / file["path"]).exists() for file in manifest["files"])
    assert len(prefixes(tmp_path)) == 4


@pytest.mark.parametrize("text", ['{"files": ["a"]}', "[]", "no json", '{"schema_version": 2}'])
@pytest.mark.parametrize("how", [PublishHow(), PARTITIONED])
def test_a_manifest_that_is_not_ours_is_left_alone(tmp_path, text, how):
    (tmp_path / "_manifest.json").write_text(text)
    with pytest.raises(DestinationError, match=r"_manifest.json.*Nothing was sent"):
        Destination.at(str(tmp_path)).check_writable()
    with pytest.raises(DatasetError, match=r"left as it is: nothing is published"):
        publish_all(tmp_path, ROWS, how=how)
    assert [path.name for path in tmp_path.iterdir()] == ["_manifest.json"]
    assert (tmp_path / "_manifest.json").read_text() == text
