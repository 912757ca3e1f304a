"""The same question is paid for once: within a submission, and across the runs of a task."""

import datetime as dt
import sqlite3
import sys
import time
from decimal import Decimal

import pytest

from airflow_provider_claude_batch.core.durations import to_timedelta
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.answer_index import AnswerIndex, AskedRequests
from airflow_provider_claude_batch.submission.deadline import cancel_what_runs
from airflow_provider_claude_batch.submission.land_taken import BILLED_COLUMNS
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.reference import read_reference
from tests.provider.submitting import NOW, change


def created(emulator):
    return [sum(batch["request_counts"].values()) for batch in reversed(emulator.batches)]


def test_rows_that_ask_the_same_are_asked_once_and_all_are_answered(run, emulator, table):
    change(table, "insert into items select id + 100, body from items")
    rows = run("one", identity="a" * 16)
    assert created(emulator) == [5]
    assert rows["id"].to_pylist() == [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]
    assert rows["topic"].to_pylist()[:5] == rows["topic"].to_pylist()[5:]
    assert rows["claude_outcome"].to_pylist() == ["ok"] * 10
    assert sum(rows["claude_output_tokens"].to_pylist()) == emulator.bill["total"]["output_tokens"]


def test_a_row_that_asks_the_same_gets_the_answer_of_the_last_round(run, emulator, table):
    change(table, "insert into items select id + 100, body from items")
    emulator.fail("lines", with_="expired", count=3)
    rows = run("one", identity="a" * 16)
    assert created(emulator) == [5, 3]
    assert rows["claude_outcome"].to_pylist() == ["ok"] * 10


def test_samples_of_one_row_are_different_questions(run, emulator, table):
    rows = run("one", identity="a" * 16, samples_per_row=2)
    assert created(emulator) == [10]
    assert rows.num_rows == 10


def test_another_run_sends_nothing_where_nothing_has_changed(run, emulator):
    first = run("one", identity="a" * 16)
    second = run("two", identity="b" * 16)
    assert created(emulator) == [5]
    assert second["topic"].equals(first["topic"])
    assert second["claude_batch_id"].equals(first["claude_batch_id"])
    assert second["claude_cost_usd"].to_pylist() == [0] * 5
    assert set(second["claude_reused_from"].to_pylist()) != {None}


def test_another_run_sends_exactly_what_has_changed(run, emulator, table):
    run("one", identity="a" * 16)
    change(table, "update items set body = 'a pear' where id = 3")
    rows = run("two", identity="b" * 16)
    assert created(emulator) == [5, 1]
    assert [value is None for value in rows["claude_reused_from"].to_pylist()] == [
        False,
        False,
        False,
        True,
        False,
    ]


def test_the_receipt_says_what_reuse_has_saved(run, emulator, tmp_path):
    run("one", identity="a" * 16)
    run("two", identity="b" * 16)
    first, second = (
        ManifestFolder.at(str(tmp_path / "runs" / "labels" / run_id / "submit" / "g00")).read_receipt()
        for run_id in ("one", "two")
    )
    assert Decimal(first.cost_usd) == Decimal(str(emulator.bill["total"]["cost_usd"]))
    assert Decimal(second.cost_usd) == 0
    assert second.saved_usd["reuse"] == first.cost_usd
    assert second.reused_rows == 5


def test_a_third_run_takes_from_where_the_answers_were_given(run, emulator):
    first = run("one", identity="a" * 16)
    run("two", identity="b" * 16)
    third = run("three", identity="c" * 16)
    assert created(emulator) == [5]
    assert third["claude_batch_id"].equals(first["claude_batch_id"])


def test_nobody_waits_for_a_batch_whose_answers_are_there_and_that_is_deleted(run, emulator, tmp_path):
    run("one", identity="a" * 16)
    hook = ClaudeBatchHook()
    with hook.client:
        hook.delete_batch(emulator.batches[0]["id"])
        second = run("two", identity="b" * 16)
        folder = ManifestFolder.at(str(tmp_path / "runs" / "labels" / "two" / "submit" / "g00"))
        assert cancel_what_runs(folder, hook) == []
    assert read_reference(folder.uri).batch_ids == ()
    assert second["claude_outcome"].to_pylist() == ["ok"] * 5


def test_answers_that_are_too_old_are_asked_for_again(run, emulator):
    run("one", identity="a" * 16)
    run("two", identity="b" * 16, since=NOW + dt.timedelta(seconds=1))
    assert created(emulator) == [5, 5]


def test_answers_that_could_not_be_used_are_asked_for_again(run, emulator):
    emulator.fail("lines", with_="refusal", count=2)
    run("one", identity="a" * 16)
    rows = run("two", identity="b" * 16)
    assert created(emulator) == [5, 2]
    assert rows["claude_outcome"].to_pylist() == ["ok"] * 5


def test_a_changed_prompt_is_another_question(run, emulator):
    run("one", identity="a" * 16)
    run("two", identity="b" * 16, prompt="Which one is this: {body}")
    assert created(emulator) == [5, 5]


@pytest.mark.proof
def test_a_hundred_thousand_rows_that_have_not_changed_are_not_sent_again(run, emulator, table, capsys):
    emulator.settings(tier="scale")
    with sqlite3.connect(table) as connection:
        connection.execute("delete from items")
        connection.executemany(
            "insert into items values (?, ?)", ((i, f"thing {i} is made of iron") for i in range(100_000))
        )
    connection.close()
    seconds, runs = [], []
    for number, run_id in enumerate(["one", "two", "three"]):
        if run_id == "three":
            change(table, "update items set body = body || ' and rust' where id % 100 = 7")
        started = time.perf_counter()
        runs.append(run(run_id, identity=f"{number:x}" * 16, chunk_rows=10_000))
        seconds.append(time.perf_counter() - started)
    first, second, third = runs
    assert created(emulator)[-1] == 1_000
    assert sum(created(emulator)) == 101_000
    kept = [name for name in first.column_names if name not in {"claude_reused_from", *BILLED_COLUMNS}]
    assert second.select(kept).equals(first.select(kept))
    assert third["claude_reused_from"].null_count == 1_000
    with capsys.disabled():
        again, changed = seconds[1] / seconds[0], seconds[2] / seconds[0]
        sys.stdout.write(f"\nunchanged: {again:.2f} x the first run, 1 % changed: {changed:.2f} x\n")


def test_an_index_gives_each_answer_away_once(tmp_path):
    index = AnswerIndex(tmp_path)
    index.add(0, [("aa", "x"), ("bb", "y")])
    index.add(1, [("aa", "z")])
    assert sorted(index.take(["aa", "cc", "aa", "aa", "bb"])) == [(0, 0, "x"), (2, 1, "z"), (4, 0, "y")]
    assert index.take(["aa", "bb"]) == []


def test_requests_are_repeated_within_one_call_and_over_calls(tmp_path):
    asked = AskedRequests(tmp_path)
    assert asked.find_repeated([("aa", 0), ("aa", 0), ("aa", 1)]) == [1]
    assert asked.find_repeated([("bb", 0), ("aa", 1)]) == [1]


@pytest.mark.parametrize(
    ("given", "days"), [("30d", 30), ("12h", 0.5), (dt.timedelta(days=2), 2), (None, None), ("", None)]
)
def test_durations_are_read_as_authors_write_them(given, days):
    expected = None if days is None else dt.timedelta(days=days)
    assert to_timedelta(given, argument="reuse_answers") == expected


@pytest.mark.parametrize("given", ["soon", "30", "-1d", dt.timedelta(0)])
def test_what_is_no_duration_is_refused(given):
    with pytest.raises(ClaudeBatchInputError, match="reuse_answers"):
        to_timedelta(given, argument="reuse_answers")
