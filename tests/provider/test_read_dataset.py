"""What a load has published, read again in one call."""

import boto3
import pytest

from airflow_provider_claude_batch.errors import ClaudeBatchInputError, WarehouseError
from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from airflow_provider_claude_batch.warehouse.dataset import read_dataset
from tests.provider.datasets import SCHEMA, publish_all, row

ROWS = [row(number) for number in range(40)]
LAYOUTS = {
    "one object": PublishHow(),
    "several files": PublishHow(max_file_bytes=1),
    "partitions": PublishHow(partition_by=("lang", "day")),
}


def ids(table):
    return sorted(table["id"].to_pylist())


@pytest.mark.parametrize("how", LAYOUTS.values(), ids=LAYOUTS)
def test_a_destination_is_read_whole_and_without_what_it_was_before(tmp_path, how):
    publish_all(tmp_path / "out", [row(number) for number in range(100, 120)], how=how)
    publish_all(tmp_path / "out", ROWS, how=how, batch_size=7)
    found = read_dataset(str(tmp_path / "out"))
    assert found.schema == SCHEMA
    assert ids(found) == [*range(40)]


def test_one_file_the_output_of_a_load_and_a_list_of_outputs_are_read_too(tmp_path):
    publish_all(tmp_path / "one.parquet", ROWS[:30])
    published = publish_all(tmp_path / "other", ROWS[30:], how=PublishHow(partition_by=("kind",)))
    first = {"manifest": None, "files": [str(tmp_path / "one.parquet")], "rows": 30}
    second = {"manifest": None, "files": [published.manifest], "rows": 10}
    assert ids(read_dataset(str(tmp_path / "one.parquet"))) == [*range(30)]
    assert ids(read_dataset(second)) == [*range(30, 40)]
    assert ids(read_dataset([first, None, second])) == [*range(40)]


def test_the_manifest_of_a_loaded_submission_is_read(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    expected = submission.run_to_its_end()
    assert read_dataset(submission.folder.uri).equals(expected)


def test_only_the_columns_that_are_asked_for_are_read(tmp_path):
    publish_all(tmp_path / "out", ROWS)
    assert read_dataset(str(tmp_path / "out"), ["claude_outcome", "id"]).column_names == [
        "claude_outcome",
        "id",
    ]


def test_a_dataset_on_an_object_store_is_read(tmp_path, s3, s3_endpoint):
    publish_all("s3://lake/read_labels", ROWS, how=PublishHow(partition_by=("kind",)))
    assert ids(read_dataset("s3://lake/read_labels")) == [*range(40)]
    listed = boto3.client("s3", endpoint_url=s3_endpoint).list_objects_v2(Bucket="lake", Prefix="read_labels")
    assert listed["KeyCount"] == 4


def test_a_folder_without_a_dataset_and_a_file_that_is_not_there_are_told_apart(tmp_path):
    with pytest.raises(ClaudeBatchInputError, match="holds neither a submission nor a dataset"):
        read_dataset(str(tmp_path))
    with pytest.raises(WarehouseError, match=r"gone\.parquet is not there"):
        read_dataset(str(tmp_path / "gone.parquet"))
