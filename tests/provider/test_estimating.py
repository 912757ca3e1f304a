import dataclasses
import datetime as dt
import sqlite3
from decimal import Decimal

import pytest

from airflow_provider_claude_batch.core.estimate import output_of_runs
from airflow_provider_claude_batch.core.prices import PriceList
from airflow_provider_claude_batch.core.sampling import Interval
from airflow_provider_claude_batch.submission.estimating import MAX_CALLS, estimate_submission
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from tests.real_texts import pieces_of_texts

PRICES = PriceList.at(dt.datetime(2026, 11, 22, tzinfo=dt.UTC))
IDENTITIES = [f"{number:016x}" for number in range(20)]


def fill(table, count):
    with sqlite3.connect(table) as connection:
        connection.execute("delete from items")
        connection.executemany("insert into items values (?, ?)", enumerate(pieces_of_texts(count)))
    connection.close()


def estimated(submission, **given):
    plan, record = require_plan(submission.folder)
    return estimate_submission(submission.folder, plan, record, submission.hook, prices=PRICES, **given)


def sent(submission, emulator):
    """Send the snapshot and return what is billed for it."""
    submission.send()
    emulator.advance(3_600)
    while not all(batch.has_ended for batch in submission.hook.list_batches().batches):
        continue
    return emulator.bill["total"]


def test_ten_thousand_documents_are_estimated_within_3_percent_by_50_calls(submission, table, emulator):
    fill(table, 10_000)
    submission.snapshot(max_requests=4_000)
    bill = sent(submission, emulator)
    plan, record = require_plan(submission.folder)
    held = 0
    for calls, identity in enumerate(IDENTITIES):
        drawn_by = dataclasses.replace(plan, identity=identity)
        found = estimate_submission(submission.folder, drawn_by, record, submission.hook, prices=PRICES)
        assert abs(found.input_tokens.mid - bill["input_tokens"]) < 0.03 * bill["input_tokens"]
        assert found.usd_low <= Decimal(bill["cost_usd"]) <= found.usd_high
        assert emulator.calls.count_of("count_tokens") <= MAX_CALLS * (calls + 1)
        held += found.input_tokens.low <= bill["input_tokens"] <= found.input_tokens.high
    # Each of these is held 99 times in 100, and the texts are those of whatever is installed.
    assert held >= 17


def test_the_same_snapshot_is_estimated_the_same(submission, table):
    fill(table, 200)
    submission.snapshot(max_requests=70)
    assert estimated(submission) == estimated(submission)


def test_a_few_requests_are_all_counted(submission, emulator):
    submission.snapshot(max_requests=2)
    found = estimated(submission)
    tokens = sent(submission, emulator)["input_tokens"]
    assert found.input_tokens == Interval(tokens, tokens, tokens)


def test_the_log_has_no_line_for_each_call(submission, emulator, caplog):
    submission.snapshot()
    caplog.set_level("INFO")
    caplog.clear()
    assert estimated(submission) is not None
    assert emulator.calls.count_of("count_tokens") > 1
    assert "HTTP Request" not in caplog.text
    submission.hook.list_batches()
    assert "HTTP Request" in caplog.text


def test_earlier_answers_make_it_narrower(submission):
    submission.snapshot()
    narrow = estimated(submission, output=output_of_runs([(100, 1_000)]))
    wide = estimated(submission)
    assert wide.usd_low < narrow.usd_low < narrow.usd_high < wide.usd_high


def test_a_marked_system_prompt_is_counted_once(submission, table):
    fill(table, 200)
    text = "You label things. " * 400
    marked = {"type": "text", "text": text, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    submission.snapshot(system=[marked], max_tokens=1)
    cached = estimated(submission)
    # 98 % of 200 times 1,800 tokens are read, at a tenth of the input's price.
    saved = Decimal("0.98") * 200 * 1_800 * Decimal("0.045") / 1_000_000
    plain = cached.input_tokens.low * 0.05 / 1_000_000
    more_for_writes = Decimal("0.02") * 200 * 1_800 * Decimal("0.05") / 1_000_000
    assert float(cached.usd_low) == pytest.approx(plain - float(saved - more_for_writes), rel=0.01)


def test_parameters_that_the_counter_does_not_take_are_left_out(submission):
    submission.snapshot(request_params={"metadata": {"user_id": "a"}, "stop_sequences": ["x"]})
    assert estimated(submission).input_tokens.mid > 0


def test_an_empty_snapshot_is_not_estimated(submission):
    submission.snapshot("select * from items where id < 0")
    assert estimated(submission) is None


def test_a_counter_that_fails_keeps_nothing_from_being_sent(submission, emulator, caplog):
    submission.snapshot()
    emulator.fail("count_tokens", with_="status", status=403, times=50)
    assert estimated(submission) is None
    assert "PermissionDeniedError" in caplog.text
    assert "keeps nothing from being sent" in caplog.text
    emulator.clear_faults()
