"""The cap holds for the worst case of what is in flight, and the real cost makes room for the rest."""

import dataclasses
import random
import sqlite3
from decimal import Decimal

import pytest

from airflow_provider_claude_batch.core.gate import Gate
from airflow_provider_claude_batch.errors import (
    CostCapError,
    CostCapReachedError,
    PilotFailedError,
    ResultsIncompleteError,
)
from airflow_provider_claude_batch.hooks.listing import Account
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.rounds import RoundsStopped
from airflow_provider_claude_batch.submission.storage import Folder
from tests.provider.submitting import takeover_from

ACCOUNT = Account(organization_id=None, workspace_id=None)


def add_rows(table, count):
    with sqlite3.connect(table) as connection:
        connection.executemany(
            "insert into items values (?, ?)",
            [(i, f"thing {i} is made of iron") for i in range(10, 10 + count)],
        )
    connection.close()


def worst_case(submission):
    _, record = require_plan(submission.folder)
    return [Decimal(shard.worst_case_usd) for shard in record.shards]


def billed(emulator):
    return Decimal(str(emulator.bill["total"]["cost_usd"]))


def test_what_fits_under_the_cap_goes_out_at_once(submission, emulator):
    cap = Decimal(5)
    submission.snapshot(cap=cap)
    steps = submission.send(cap=cap)
    assert [step.shard.requests for step in steps] == [5]


def test_a_submission_that_cannot_fit_sends_nothing_and_says_by_how_much(submission, emulator):
    cap = Decimal("0.00001")
    submission.snapshot(cap=cap)
    with pytest.raises(CostCapError, match=r"short\. Nothing was sent"):
        submission.send(cap=cap)
    assert emulator.calls.count_of("create") == 0


def test_shards_are_cut_so_that_several_fit_under_the_cap(submission, emulator):
    submission.snapshot(cap=Decimal(1000))
    (whole,) = worst_case(submission)
    submission.folder.folder.fs.rm(submission.folder.folder.root, recursive=True)
    cap = whole * 2
    submission.snapshot(cap=cap)
    parts = worst_case(submission)
    assert sum(parts) == whole
    assert len(parts) > 1
    assert max(parts) <= cap / 4


def test_shards_go_out_in_waves_and_the_real_cost_makes_room(submission, emulator, table):
    add_rows(table, 35)
    emulator.settings(seconds_per_batch=3600)
    submission.snapshot(cap=Decimal(1000), max_requests=10, max_tokens=1000)
    cap = sum(worst_case(submission)[:2]) * Decimal("1.01")
    *sent, pause = submission.send(cap=cap)
    assert len(sent) == 2
    assert isinstance(pause, Pause)
    assert set(pause.batch_ids) == {step.batch.batch_id for step in sent}
    emulator.advance(3600)
    steps = submission.send(cap=cap)
    assert len(steps) >= 3
    while isinstance(steps[-1], Pause):
        emulator.advance(3600)
        steps = submission.send(cap=cap)
    emulator.advance(3600)
    submission.finish()
    assert submission.final()["claude_outcome"].to_pylist() == ["ok"] * 40
    assert billed(emulator) <= cap


def test_where_the_cap_is_used_up_the_rest_is_not_sent_until_it_is_raised(submission, emulator, table):
    add_rows(table, 15)
    emulator.settings(seconds_per_batch=0)
    submission.snapshot(cap=Decimal(1000), max_requests=10, max_tokens=2000)
    first, second = worst_case(submission)
    cap = max(first, second) * Decimal("1.0001")
    with pytest.raises(CostCapReachedError, match="a clear of the task"):
        submission.send_on(cap=cap)
    assert len(emulator.batches) == 1
    submission.send(cap=first + second)
    assert len(emulator.batches) == 2


def test_a_round_that_does_not_fit_is_not_sent(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    emulator.fail("lines", with_="max_tokens", count=5)
    submission.snapshot(cap=Decimal(1000))
    (worst,) = worst_case(submission)
    cap = worst * Decimal("1.01")
    submission.send(cap=cap)
    *_, stopped = submission.finish()
    assert isinstance(stopped, RoundsStopped)
    assert "max_cost_usd leaves" in stopped.why
    assert len(emulator.batches) == 1
    assert submission.final()["claude_outcome"].to_pylist() == ["truncated"] * 5


def test_a_plan_made_without_a_cap_can_be_sent_with_one(submission, emulator):
    submission.snapshot()
    with pytest.raises(CostCapError):
        submission.send(cap=Decimal("0.00001"))
    assert len(submission.send(cap=Decimal(5))) == 1


def test_tools_without_a_bound_are_refused_under_a_cap(submission, emulator):
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    with pytest.raises(CostCapError, match="Nothing was sent"):
        submission.snapshot(cap=Decimal(5), request_params={"tools": tools})


def test_a_shard_that_was_never_accepted_does_not_stand_in_its_own_way(submission, emulator, table):
    add_rows(table, 15)
    submission.snapshot(cap=Decimal(1000), max_tokens=2000)
    (worst,) = worst_case(submission)
    emulator.fail_once("create", after="received", with_="reset-connection")
    submission.send(cap=worst)
    assert emulator.batches == []
    emulator.advance(1000)
    (sent,) = submission.send(cap=worst)
    assert sent.shard.requests == 20


def test_a_batch_that_was_deleted_in_flight_ends_the_task_and_not_in_a_wait_for_ever(
    submission, emulator, table
):
    add_rows(table, 15)
    submission.snapshot(cap=Decimal(1000), max_requests=10, max_tokens=2000)
    cap = max(worst_case(submission)) * Decimal("1.5")
    emulator.settings(seconds_per_batch=600)
    sent, _ = submission.send(cap=cap)
    emulator.advance(700)
    submission.hook.delete_batch(sent.batch.batch_id)
    with pytest.raises(ResultsIncompleteError, match="max_cost_usd cannot be kept"):
        submission.send(cap=cap)
    assert emulator.calls.count_of("create") == 1


@pytest.mark.parametrize("has_ended", [True, False])
def test_answers_taken_from_an_unpublished_generation_count_under_the_cap(
    submission, emulator, table, has_ended
):
    emulator.settings(seconds_per_batch=600)
    submission.snapshot(max_tokens=20)
    submission.send()
    emulator.advance(700 if has_ended else 0)
    takeover = takeover_from([submission.folder], submission.hook, account=ACCOUNT)
    add_rows(table, 15)
    folder = ManifestFolder.at(submission.folder.uri.replace("/g00", "/g01"))
    second = dataclasses.replace(submission, folder=folder)
    second.snapshot(cap=Decimal(1000), max_tokens=20, identity="b" * 16, takeover=takeover)
    _, record = require_plan(second.folder)
    cap = Decimal(record.shards[0].worst_case_usd) * Decimal("1.00001")
    if not has_ended:
        (pause,) = second.send(cap=cap)
        assert pause.batch_ids == (emulator.batches[0]["id"],)
        emulator.advance(700)
    with pytest.raises(CostCapReachedError, match="are billed"):
        second.send(cap=cap)
    assert emulator.calls.count_of("create") == 1
    assert len(second.send(cap=cap + billed(emulator))) == 2


def test_an_answer_that_nobody_was_shown_may_have_cost_the_most_it_can(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    emulator.fail_once("lines", with_="missing", count=1)
    submission.snapshot(cap=Decimal(1000), max_tokens=20)
    (worst,) = worst_case(submission)
    submission.send(cap=Decimal(5))
    # The round fits beside what the results show, and not beside what the account was billed.
    cap = billed(emulator) * Decimal("0.9") + worst / 5
    submission.folder.write_cap(cap)
    *_, stopped = submission.finish()
    assert isinstance(stopped, RoundsStopped)
    assert "max_cost_usd leaves" in stopped.why
    submission.folder.write_cap(billed(emulator) + worst)
    submission.finish()
    assert submission.final()["claude_outcome"].to_pylist() == ["ok"] * 5
    assert billed(emulator) <= submission.folder.read_cap()


class Watched(Folder):
    """A folder that counts how often a record is looked at."""

    looks = 0

    def read(self, path):
        Watched.looks += 1
        return super().read(path)

    def exists(self, path):
        Watched.looks += 1
        return super().exists(path)


@pytest.mark.parametrize("cap", [None, Decimal(1000)])
def test_a_send_looks_at_records_as_often_for_each_shard_however_many_there_are(
    submission, emulator, table, monkeypatch, cap
):
    monkeypatch.setattr(Watched, "looks", 0)
    looks = []
    for count in (5, 45):
        root = f"{submission.folder.folder.root}/{count}"
        submission.folder = ManifestFolder(Watched(submission.folder.folder.fs, root, root))
        submission.snapshot(cap=cap, max_requests=1)
        before = Watched.looks
        assert len(submission.send(cap=cap)) == count
        looks.append((Watched.looks - before) / count)
        add_rows(table, 40)
    few, many = looks
    assert many <= few


@pytest.mark.parametrize("seed", range(5))
def test_the_cap_is_never_exceeded_whatever_happens(submission, emulator, table, seed):
    run_with_faults(submission, emulator, table, seed)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(5, 50))
def test_the_cap_is_never_exceeded_in_fifty_runs(submission, emulator, table, seed):
    run_with_faults(submission, emulator, table, seed)


def run_with_faults(submission, emulator, table, seed):
    chance = random.Random(seed)  # noqa: S311
    add_rows(table, chance.randrange(10, 60))
    for kind in ("errored", "expired", "max_tokens", "invalid-output"):
        extra = {"error_type": "overloaded_error"} if kind == "errored" else {}
        emulator.fail("lines", with_=kind, share=chance.uniform(0, 0.3), times=None, **extra)
    for _ in range(chance.randrange(3)):
        stage = chance.choice(["received", "accepted"])
        emulator.fail_once("create", after=stage, with_="reset-connection")
    emulator.settings(seconds_per_batch=600)
    max_tokens = chance.randrange(20, 400)
    submission.snapshot(cap=Decimal(1000), max_requests=chance.randrange(5, 20), max_tokens=max_tokens)
    cap = sum(worst_case(submission)) * Decimal(str(chance.uniform(0.2, 1.5)))
    for _ in range(60):
        try:
            steps = submission.send(cap=cap)
        except (CostCapError, CostCapReachedError):
            break
        emulator.advance(chance.choice([60, 700]))
        if not isinstance(steps[-1], Pause):
            break
    for _ in range(60):
        if any(batch is None for _, batch in submission.folder.batches(require_plan(submission.folder)[1])):
            break
        emulator.advance(700)
        steps = submission.finish()
        if not (steps and isinstance(steps[-1], Pause)):
            break
    assert billed(emulator) <= cap, f"seed {seed}"


def test_the_pilot_goes_first_and_its_rows_are_part_of_the_result(submission, emulator):
    emulator.settings(seconds_per_batch=3600)
    submission.snapshot(pilot=2)
    gate = Gate.of(0.1, min_error_count=1)
    *sent, pause = submission.send(pilot_gate=gate)
    assert [step.shard.requests for step in sent] == [2]
    assert isinstance(pause, Pause)
    emulator.advance(3600)
    assert [step.shard.requests for step in submission.send(pilot_gate=gate)] == [2, 3]
    emulator.advance(3600)
    submission.finish()
    assert submission.final()["claude_outcome"].to_pylist() == ["ok"] * 5
    assert [sum(batch["request_counts"].values()) for batch in emulator.batches] == [3, 2]


def test_a_pilot_that_fails_keeps_the_rest_from_being_sent(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    emulator.fail("lines", with_="invalid-output", count=2)
    submission.snapshot(pilot=2)
    gate = Gate.of(0.1, min_error_count=1)
    for _ in range(2):
        with pytest.raises(PilotFailedError, match="2 invalid_output"):
            submission.send_on(pilot_gate=gate)
    assert [sum(batch["request_counts"].values()) for batch in emulator.batches] == [2]
