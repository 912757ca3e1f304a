import dataclasses
import itertools
import logging
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.core.manifest import BatchRecord
from airflow_provider_claude_batch.errors import ResultsIncompleteError
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.land import land_shard
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from airflow_provider_claude_batch.submission.rereads import Rereads
from tests.provider.submitting import create_batches, successor

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


@pytest.mark.parametrize(("fault", "says"), [("doubled", "1 doubled"), ("foreign", "1 of other requests")])
def test_a_line_too_many_is_left_out_and_said(submission, emulator, caplog, fault, says):
    emulator.fail_once("lines", with_=fault, count=1)
    with caplog.at_level(logging.WARNING):
        rows = land(sent(submission))
    assert rows["claude_outcome"].to_pylist() == ["ok"] * 5
    assert len(set(rows["id"].to_pylist())) == 5
    assert emulator.calls.count_of("results") == 3
    assert says in caplog.text


def test_a_line_too_few_is_missing_goes_again_and_is_there_once(submission, emulator, caplog):
    emulator.settings(seconds_per_batch=0)
    emulator.fail_once("lines", with_="missing", count=1)
    sent(submission)
    with caplog.at_level(logging.WARNING):
        submission.finish()
    assert "up to 1 of these were billed" in caplog.text
    assert [sum(batch["request_counts"].values()) for batch in emulator.batches] == [1, 5]
    rows = submission.final()
    assert rows["id"].to_pylist() == [0, 1, 2, 3, 4]
    assert rows["claude_outcome"].to_pylist() == ["ok"] * 5


def test_lines_too_few_for_a_slip_are_refused_and_the_way_out_asks_only_them_again(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    emulator.fail_once("lines", with_="missing", count=2)
    submission.snapshot(max_requests=3)
    submission.send()
    for _ in range(2):
        with pytest.raises(
            ResultsIncompleteError, match=r"2 missing.*delete the batch.*clear the submit task"
        ):
            land(submission)
    with pytest.raises(ResultsIncompleteError):
        successor(submission)
    short = submission.folder.read_batch(0, 0).batch_id
    submission.hook.delete_batch(short)
    second = successor(submission)
    second.send()
    second.finish()
    rows = second.final()
    assert rows["id"].to_pylist() == [0, 1, 2, 3, 4]
    assert rows["claude_outcome"].to_pylist() == ["ok"] * 5
    assert short not in rows["claude_batch_id"].to_pylist()
    assert [sum(batch["request_counts"].values()) for batch in emulator.batches] == [3, 2]


class Between(ClaudeBatchHook):
    """Something between us and the API that has its own idea of what the API says."""

    def __init__(self, hook, lines=lambda lines: lines, **told):
        super().__init__()
        self.client = hook.client
        self.lines, self.told = lines, told

    def retrieve_batch(self, batch_id):
        batch = super().retrieve_batch(batch_id)
        counts = batch.request_counts.model_copy(update=self.told)
        return batch.model_copy(update={"request_counts": counts})

    @contextmanager
    def open_results(self, batch_id):
        with super().open_results(batch_id) as chunks:
            yield iter([b"".join(self.lines(b"".join(chunks).splitlines(keepends=True)))])


@pytest.mark.parametrize("succeeded", [0, 4, 6])
def test_counts_that_are_wrong_keep_no_row_from_its_answer(submission, emulator, caplog, succeeded):
    sent(submission)
    submission.hook = Between(submission.hook, succeeded=succeeded)
    with caplog.at_level(logging.WARNING):
        assert land(submission)["claude_outcome"].to_pylist() == ["ok"] * 5
    assert f"has {succeeded} requests that ended, hold 5 lines" in caplog.text


def test_two_answers_to_one_request_are_refused(submission, emulator):
    sent(submission)
    submission.hook = Between(
        submission.hook, lambda lines: [*lines, lines[2].replace(b"output_tokens", b"output_token")]
    )
    with pytest.raises(ResultsIncompleteError, match="1 lines are not what an earlier line"):
        land(submission)
    assert not submission.folder.has_results(0, 0)


def test_other_lines_too_few_at_every_look_are_refused(submission, emulator):
    sent(submission)
    looks = itertools.count()
    submission.hook = Between(submission.hook, lambda lines: lines[: (at := next(looks))] + lines[at + 1 :])
    with pytest.raises(ResultsIncompleteError, match="other requests have no line than the last time"):
        land(submission)
    assert next(looks) == 3


def test_requests_that_were_not_billed_may_lack_their_lines(submission, emulator):
    emulator.fail_once("lines", with_="canceled", count=3)
    sent(submission)
    submission.hook = Between(
        submission.hook, lambda lines: [one for one in lines if b'"canceled"' not in one]
    )
    assert sorted(land(submission)["claude_outcome"].to_pylist()) == ["missing"] * 3 + ["ok"] * 2


def test_results_of_another_batch_are_refused(submission, emulator):
    (other,) = create_batches()
    sent(submission)
    batch = submission.folder.read_batch(0, 0)
    submission.folder.write_batch(0, 0, dataclasses.replace(batch, batch_id=other))
    with pytest.raises(ResultsIncompleteError, match=r"not one line .* Nothing is published"):
        land(submission)


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


def test_a_batch_that_was_deleted_before_it_was_landed_says_how_to_go_on(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    sent(submission)
    submission.hook.delete_batch(submission.folder.read_batch(0, 0).batch_id)
    now = iter(range(0, 10_000, 100))
    rereads = Rereads(sleep=lambda seconds: None, clock=lambda: float(next(now)))
    with pytest.raises(ResultsIncompleteError, match="If it was deleted, clear the submit task"):
        land(submission, rereads=rereads)
    second = successor(submission)
    second.send()
    second.finish()
    assert second.final()["claude_outcome"].to_pylist() == ["ok"] * 5


def test_content_is_landed_when_asked_for(submission, emulator):
    rows = land(sent(submission), keep_content=True)
    assert all(text.startswith('[{"type":"text"') for text in rows["claude_content"].to_pylist())
