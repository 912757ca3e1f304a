"""The prompt cache: what is marked, what goes first to write it, and what is said about it."""

import dataclasses
import datetime as dt
import sqlite3

import pytest
from airflow.sdk import DAG
from structlog.testing import capture_logs

from airflow_provider_claude_batch.core.cache_use import cache_use
from airflow_provider_claude_batch.core.gate import Gate
from airflow_provider_claude_batch.core.prices import PriceList
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.operators.arguments import to_spec
from airflow_provider_claude_batch.operators.priming import requests_ahead
from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.pilot import Pilot

LONG = "You label things. " * 400
PRICES = PriceList.at(dt.datetime(2026, 11, 22, tzinfo=dt.UTC))


def submit_operator(**arguments):
    given = {
        "sql": "select 1",
        "sql_conn_id": "warehouse",
        "key": "id",
        "model": "claude-haiku-5-5",
        "max_tokens": 100,
        "prompt": "What is this: {body}",
        "system": LONG,
        **arguments,
    }
    with DAG(dag_id="d", schedule=None):
        return ClaudeBatchSubmitOperator(task_id="submit", **given)


def ahead(**arguments):
    """Return how many requests would go first, and what is logged about it."""
    asked = submit_operator(**arguments)
    with capture_logs() as logged:
        count = requests_ahead(asked, to_spec(asked))
    return count, [(line["log_level"], line["event"]) for line in logged]


def test_an_hours_mark_lets_one_request_go_first():
    count, [(level, said)] = ahead(cache_ttl="1h")
    assert (count, level) == (1, "info")
    assert "claude-haiku-5-5 caches from 512 on. A 1h write pays from 2 reads on, or where 53% of" in said
    assert said.endswith("The first batch writes it, the rest follows.")


def test_a_pilot_is_large_enough_to_write_the_cache():
    assert ahead(cache_ttl="1h", pilot_rows=50)[0] == 50


def test_without_a_mark_nothing_goes_first_and_nothing_is_said():
    assert ahead() == (0, [])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"cache_ttl": "1h", "prime_cache": False}, "prime_cache is off"),
        ({"cache_ttl": "5m"}, "what is kept for 5m is gone before the end of a batch has been seen"),
        (
            {"system": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            "cache_ttl is not given",
        ),
    ],
)
def test_where_no_request_goes_first_the_log_says_why(arguments, why):
    count, [(level, said)] = ahead(**arguments)
    assert (count, level) == (0, "info")
    assert said.endswith(f"No request goes first: {why}.")


@pytest.mark.parametrize(
    ("system", "why"),
    [
        ("Today is {day}. " + LONG, "the prompt differs by row from $.system[0].text: {day} on"),
        ("Be brief.", "are too few: claude-haiku-5-5 caches from 512 on"),
    ],
)
def test_what_cannot_be_read_is_warned_about_and_not_written_first(system, why):
    count, [(level, said)] = ahead(system=system, cache_ttl="1h")
    assert (count, level) == (0, "warning")
    assert why in said


def test_no_text_of_the_prompt_is_logged():
    _, said = ahead(system="Secret {day} " + LONG, cache_ttl="1h")
    assert "Secret" not in str(said)


def test_a_function_that_makes_the_request_marks_it_itself():
    with pytest.raises(ClaudeBatchInputError, match="let it return cache_control"):
        to_spec(submit_operator(prompt=None, build_request=dict, cache_ttl="1h"))


def fill(table, count):
    with sqlite3.connect(table) as connection:
        connection.execute("delete from items")
        connection.executemany("insert into items values (?, ?)", [(i, f"thing {i}") for i in range(count)])
    connection.close()


def test_the_first_request_writes_and_all_others_read(submission, table, emulator):
    fill(table, 30)
    emulator.settings(seconds_per_batch=600)
    submission.snapshot(system=LONG, cache_ttl="1h", pilot=1, primes_cache=True)
    *sent, pause = submission.send(pilot_gate=Gate.of(0.0, min_error_count=1))
    assert [step.shard.requests for step in sent] == [1]
    assert isinstance(pause, Pause)
    emulator.advance(600)
    submission.send(pilot_gate=Gate.of(0.0, min_error_count=1))
    emulator.advance(600)
    submission.finish()
    rows = submission.final()
    writes, reads = (rows[f"claude_cache_{kind}_tokens"].to_pylist() for kind in ("write_1h", "read"))
    prefix = max(writes)
    assert sorted(writes) == [0] * 29 + [prefix]
    assert sorted(reads) == [0] + [prefix] * 29
    tokens = {"cache_write_1h": sum(writes), "cache_read": sum(reads)}
    use = cache_use(tokens, PRICES.of("claude-haiku-5-5"), rows=30)
    assert use.hit_rate == pytest.approx(29 / 30)
    assert use.saved_usd > 0


@pytest.mark.parametrize(
    "fault", [{"with_": "errored", "error_type": "api_error"}, {"with_": "refusal"}, {"with_": "expired"}]
)
def test_a_first_request_that_fails_does_not_keep_the_rest(submission, emulator, fault):
    emulator.settings(seconds_per_batch=0)
    emulator.fail("lines", count=1, **fault)
    submission.snapshot(system=LONG, cache_ttl="1h", pilot=1, primes_cache=True)
    steps = submission.send(pilot_gate=Gate.of(0.0, min_error_count=1))
    while isinstance(steps[-1], Pause):
        steps = submission.send(pilot_gate=Gate.of(0.0, min_error_count=1))
    assert [step.shard.requests for step in steps] == [1, 4]
    assert emulator.faults_left == 0


@pytest.mark.parametrize(
    ("hours", "minutes_waited", "minutes_left"),
    [(8, 0, 120), (8, 30, 90), (8, 120, None), (1.25, 0, 15), (1, 0, None), (None, 600, 1500)],
)
def test_the_first_request_holds_the_rest_no_longer_than_a_deadline_allows(
    submission, emulator, hours, minutes_waited, minutes_left
):
    emulator.settings(seconds_per_batch=24 * 3600)
    submission.snapshot(system=LONG, cache_ttl="1h", pilot=1, primes_cache=True)
    plan, record = require_plan(submission.folder)
    pilot = Pilot(
        folder=submission.folder,
        plan=dataclasses.replace(
            plan, deadline=None if hours is None else plan.created_at + dt.timedelta(hours=hours)
        ),
        hook=submission.hook,
        gate=Gate.of(0.0, min_error_count=1),
        on_answers=lambda answers: None,
        clock=lambda: plan.created_at + dt.timedelta(minutes=minutes_waited),
    )
    submission.send(pilot_gate=pilot.gate)
    pause = pilot.admit(record, record.shards[1])
    assert (None if pause is None else pause.seconds / 60) == minutes_left
