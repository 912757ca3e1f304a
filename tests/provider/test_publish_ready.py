"""A landed file that is published as it lies there, since it holds exactly the rows."""

import dataclasses
import hashlib
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.errors import QualityGateError, ResultsIncompleteError
from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from airflow_provider_claude_batch.submission.publish import ReadyFile
from tests.provider.datasets import SCHEMA, digests, publish_all, read_published, row, to_batches

ROWS = [row(number, claude_outcome="errored" if number % 10 == 0 else "ok") for number in range(900)]
HOWS = {
    "one file": PublishHow(key=("id",)),
    "sorted": PublishHow(sort_by=("lang", "id")),
    "partitioned": PublishHow(partition_by=("kind",)),
    "several files": PublishHow(key=("id",), max_file_bytes=5_000),
}


@pytest.fixture
def landed(tmp_path):
    """Return a file of the rows, in several row groups."""
    path = tmp_path / "landed.parquet"
    table = pa.Table.from_batches(to_batches(ROWS)).unify_dictionaries()
    pq.write_table(table, path, compression="zstd", row_group_size=200)
    return path


def ready(path):
    return ReadyFile(str(path), partial(path.open, "rb"), hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS)
def test_its_rows_are_published_like_any_others(tmp_path, landed, how):
    published = publish_all(tmp_path / "a", ROWS, how=how, ready=ready(landed))
    expected = publish_all(tmp_path / "b", ROWS, how=how)
    assert read_published(tmp_path / "a").to_pylist() == read_published(tmp_path / "b").to_pylist()
    assert read_published(tmp_path / "a").schema == SCHEMA
    assert published.tally == expected.tally
    assert published.tally.outcomes == {"ok": 810, "errored": 90}
    assert len(published.files) == len(expected.files)


def test_it_is_published_byte_for_byte(tmp_path, landed):
    publish_all(tmp_path / "out", ROWS, ready=ready(landed))
    assert (tmp_path / "out" / "data.parquet").read_bytes() == landed.read_bytes()


def test_a_file_that_is_not_what_was_written_is_not_published(tmp_path, landed):
    before = ready(landed)
    octets = bytearray(landed.read_bytes())
    octets[len(octets) // 3] ^= 1
    landed.write_bytes(octets)
    publish_all(tmp_path / "out", ROWS[:7])
    kept = digests(tmp_path / "out")
    with pytest.raises(
        ResultsIncompleteError, match=r"landed.parquet is not what was written.*free for 29 days"
    ):
        publish_all(tmp_path / "out", ROWS, ready=before)
    assert digests(tmp_path / "out") == kept


def test_its_rows_are_counted_and_judged_before_anything_is_replaced(tmp_path, landed):
    def refuse(tally, dataset):
        assert sum(pq.read_metadata(file).num_rows for file in dataset.files) == 900
        raise QualityGateError("too few", outcomes=tally.outcomes)

    publish_all(tmp_path / "out", ROWS[:7])
    before = digests(tmp_path / "out")
    with pytest.raises(ResultsIncompleteError, match="asks for 901 rows and there are 900"):
        publish_all(tmp_path / "out", ROWS, row_count=901, ready=ready(landed))
    with pytest.raises(QualityGateError) as caught:
        publish_all(tmp_path / "out", ROWS, ready=ready(landed), gate=refuse)
    assert caught.value.outcomes == {"ok": 810, "errored": 90}
    assert digests(tmp_path / "out") == before


def test_one_batch_that_answers_all_is_published_as_it_was_landed(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    submission.land_all()
    final = submission.final()
    with submission.folder.folder.open("r00/results-00000.parquet") as file:
        landed = file.read()
    submission.publish()
    assert (submission.destination / "data.parquet").read_bytes() == landed
    assert read_published(submission.destination).sort_by("id").equals(final)


def test_a_batch_whose_record_does_not_vouch_for_its_file_is_published_row_by_row(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    submission.land_all()
    batch = submission.folder.read_batch(0, 0)
    assert len(batch.results_sha256) == 64
    submission.folder.write_batch(0, 0, dataclasses.replace(batch, results_sha256=None))
    final = submission.final()
    submission.publish()
    assert read_published(submission.destination).sort_by("id").equals(final)


def test_results_that_were_altered_are_read_again_once_they_are_removed(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    submission.land_all()
    final = submission.final()
    path = Path(submission.folder.folder.root) / "r00" / "results-00000.parquet"
    landed = pq.read_table(path)
    at = landed.schema.get_field_index("claude_text")
    pq.write_table(landed.set_column(at, landed.field(at), pa.array(["WRONG"] * landed.num_rows)), path)
    with pytest.raises(ResultsIncompleteError, match=r"results-00000.parquet is not what was written"):
        submission.publish()
    path.unlink()
    submission.finish()
    submission.publish()
    assert read_published(submission.destination).sort_by("id").equals(final)


@pytest.mark.parametrize(
    "arguments",
    [{"max_requests": 2}, {"prompt": "What is it?"}, {"deduplicate": False, "prompt": "What is it?"}],
    ids=["several batches", "rows that ask the same", "the same, asked each"],
)
def test_every_row_is_published_once_whether_one_landed_file_holds_it_or_not(submission, emulator, arguments):
    emulator.settings(seconds_per_batch=0)
    published = submission.run_to_its_end(**arguments)
    assert sorted(published["id"].to_pylist()) == [0, 1, 2, 3, 4]
    assert published["claude_outcome"].to_pylist() == ["ok"] * 5


def test_a_row_that_went_again_is_published_with_its_last_answer(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    emulator.fail_once("lines", with_="errored", count=2)
    published = submission.run_to_its_end()
    assert sorted(published["id"].to_pylist()) == [0, 1, 2, 3, 4]
    assert published["claude_outcome"].to_pylist() == ["ok"] * 5
    assert sorted(published["claude_rounds"].to_pylist()) == [1, 1, 1, 2, 2]
