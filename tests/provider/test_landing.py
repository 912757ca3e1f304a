import logging

import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.core.manifest import BatchRecord
from airflow_provider_claude_batch.errors import ResultsIncompleteError
from airflow_provider_claude_batch.submission.land import land_shard
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from airflow_provider_claude_batch.submission.rereads import Rereads

NO_PAUSES = Rereads(sleep=lambda seconds: None)


def land(submission, *, rereads=NO_PAUSES, **arguments):
    plan, record = require_plan(submission.folder)
    batch = submission.folder.read_batch(0, 0)
    assert isinstance(batch, BatchRecord)
    schema = plan.settings.output_schema
    arguments = {"json_schema": schema, "rereads": rereads, **arguments}
    land_shard(submission.folder, record, record.shards[0], batch, submission.hook, **arguments)
    with submission.folder.folder.open("r00/results-00000.parquet") as file:
        return pq.read_table(file)


def sent(submission):
    submission.snapshot()
    submission.send()
    return submission


def test_a_doubled_line_in_the_place_of_another_leaves_a_row_missing_and_says_so(
    submission, emulator, caplog
):
    emulator.fail_once("lines", with_="doubled", count=1)
    emulator.fail_once("lines", with_="missing", count=1)
    with caplog.at_level(logging.WARNING):
        rows = land(sent(submission))
    assert sorted(rows["claude_outcome"].to_pylist()) == ["missing", *["ok"] * 4]
    assert rows.num_rows == 5
    assert emulator.calls.count_of("results") == 3
    assert "1 doubled" in caplog.text
    assert "1 requests have no line" in caplog.text


def test_a_foreign_line_in_the_place_of_another_is_left_out(submission, emulator):
    emulator.fail_once("lines", with_="foreign", count=1)
    emulator.fail_once("lines", with_="missing", count=1)
    rows = land(sent(submission))
    assert sorted(rows["claude_outcome"].to_pylist()) == ["missing", *["ok"] * 4]


def test_results_of_which_no_line_is_the_shards_are_refused(submission, emulator):
    emulator.fail_once("lines", with_="foreign", share=1.0)
    emulator.fail_once("lines", with_="missing", share=1.0)
    with pytest.raises(ResultsIncompleteError, match="Nothing is published"):
        land(sent(submission))


@pytest.mark.parametrize("status", [404, 429, 500, 529])
def test_an_api_that_fails_for_a_while_is_asked_again(submission, emulator, status):
    sent(submission)
    emulator.fail("results", with_="status", status=status, times=5)
    assert land(submission).num_rows == 5
    assert emulator.faults_left == 0


def test_an_api_that_fails_on_says_how_to_go_on(submission, emulator):
    sent(submission)
    emulator.fail("results", with_="reset-connection", times=None)
    now = iter(range(0, 10_000, 100))
    told = []
    rereads = Rereads(sleep=lambda seconds: None, clock=lambda: float(next(now)), on_failing=told.append)
    with pytest.raises(ResultsIncompleteError, match="a retry reads them again and pays nothing"):
        land(submission, rereads=rereads)
    assert told == [100.0, 200.0, 300.0]


def test_content_is_landed_when_asked_for(submission, emulator):
    rows = land(sent(submission), keep_content=True)
    assert all(text.startswith('[{"type":"text"') for text in rows["claude_content"].to_pylist())
