"""Further rounds: what can improve is asked again, only that, and every row is there once."""

import datetime as dt

import pytest

from airflow_provider_claude_batch.core.requests_to_shards import ShardCutter
from airflow_provider_claude_batch.submission.loading import delete_batches
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from airflow_provider_claude_batch.submission.next_round import RoundRules, make_round
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.rounds import RoundBegun, RoundsStopped
from airflow_provider_claude_batch.submission.settle import settle_generations
from tests.provider.submitting import RULES, create_batches


def begun(steps):
    return [(step.index, step.requests) for step in steps if isinstance(step, RoundBegun)]


def requests_created(emulator):
    return [sum(batch["request_counts"].values()) for batch in reversed(emulator.batches)]


@pytest.fixture
def sent(submission, emulator):
    """Return a function that sends the five rows after the given faults were ordered."""

    def send(*faults, **arguments):
        emulator.settings(seconds_per_batch=0)
        for fault in faults:
            emulator.fail("lines", **fault)
        submission.snapshot(**arguments)
        submission.send()
        return submission

    return send


@pytest.mark.parametrize(
    "fault",
    [
        {"with_": "errored", "error_type": "overloaded_error"},
        {"with_": "errored", "error_type": "api_error"},
        {"with_": "expired"},
        {"with_": "canceled"},
        {"with_": "invalid-output"},
        {"with_": "max_tokens"},
    ],
    ids=lambda fault: fault.get("error_type") or fault["with_"],
)
def test_a_row_that_can_improve_goes_again_alone_and_is_there_once(sent, emulator, fault):
    submission = sent({**fault, "count": 2})
    steps = submission.finish()
    rows = submission.final()
    assert begun(steps) == [(1, 2)]
    assert requests_created(emulator) == [5, 2]
    assert rows["id"].to_pylist() == [0, 1, 2, 3, 4]
    assert rows["claude_outcome"].to_pylist() == ["ok"] * 5
    assert sorted(rows["claude_rounds"].to_pylist()) == [1, 1, 1, 2, 2]
    assert emulator.faults_left == 0


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"with_": "errored", "error_type": "invalid_request_error"}, "errored"),
        ({"with_": "errored", "error_type": "permission_error"}, "errored"),
        ({"with_": "refusal"}, "refused"),
        ({"with_": "pause_turn"}, "truncated"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_row_that_cannot_improve_does_not_go_again(sent, emulator, fault, outcome):
    submission = sent({**fault, "count": 2})
    assert begun(submission.finish()) == []
    assert requests_created(emulator) == [5]
    assert sorted(submission.final()["claude_outcome"].to_pylist()) == sorted(["ok"] * 3 + [outcome] * 2)


def test_a_cut_answer_goes_with_twice_the_tokens(sent, emulator):
    submission = sent({"with_": "max_tokens", "count": 1}, max_tokens=60)
    submission.finish()
    assert sorted(params["max_tokens"] for params in sent_params(submission, emulator)) == [60] * 5 + [120]


def sent_params(submission, emulator):
    import msgspec
    import pyarrow as pa

    found = []
    for path in sorted((submission.destination.parent / "staging").glob("g00/r*/requests-*.zst")):
        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            found += [msgspec.json.decode(line)["params"] for line in stream.read().splitlines()]
    return found


def test_tokens_of_all_rounds_are_what_was_billed(sent, emulator):
    submission = sent(
        {"with_": "max_tokens", "count": 2},
        {"with_": "invalid-output", "count": 1},
        {"with_": "errored", "error_type": "overloaded_error", "count": 1},
    )
    submission.finish()
    rows = submission.final()
    billed = emulator.bill["total"]
    assert sum(rows["claude_output_tokens"].to_pylist()) == billed["output_tokens"]
    assert sum(rows["claude_input_tokens"].to_pylist()) == billed["input_tokens"]


def test_rounds_end_at_their_number_and_the_last_word_counts(sent, emulator):
    submission = sent({"with_": "expired", "share": 1.0, "times": None})
    steps = submission.finish(max_rounds=3)
    assert begun(steps) == [(1, 5), (2, 5)]
    rows = submission.final()
    assert rows["claude_outcome"].to_pylist() == ["expired"] * 5
    assert rows["claude_rounds"].to_pylist() == [3] * 5


def test_calling_it_again_sends_nothing_more(sent, emulator):
    submission = sent({"with_": "expired", "count": 2})
    submission.finish()
    before = submission.final()
    assert begun(submission.finish()) == []
    assert requests_created(emulator) == [5, 2]
    assert submission.final().equals(before)


def test_an_answer_that_never_fits_goes_once_more_and_not_twice(sent, emulator):
    submission = sent({"with_": "invalid-output", "share": 1.0, "times": None})
    assert begun(submission.finish(max_rounds=9)) == [(1, 5)]


def test_a_round_that_runs_is_waited_for_and_found_again(sent, emulator):
    submission = sent({"with_": "expired", "count": 2})
    emulator.settings(seconds_per_batch=3600)
    *_, pause = submission.finish()
    assert isinstance(pause, Pause)
    assert pause.is_for_results
    assert len(pause.batch_ids) == 1
    emulator.advance(3600)
    submission.finish()
    assert requests_created(emulator) == [5, 2]
    assert submission.final()["claude_outcome"].to_pylist() == ["ok"] * 5


def test_a_round_that_the_list_does_not_show_yet_is_waited_for(sent, emulator):
    submission = sent({"with_": "expired", "count": 2})
    emulator.settings(seconds_per_batch=3600)
    emulator.fail("list", with_="lag", seconds=60, times=None)
    *_, pause = submission.finish()
    assert isinstance(pause, Pause)
    assert pause.is_for_results


def test_without_credit_no_round_begins(sent, emulator):
    message = "Your credit balance is too low to access the Anthropic API."
    submission = sent(
        {"with_": "errored", "error_type": "invalid_request_error", "message": message, "count": 1},
        {"with_": "expired", "count": 1},
    )
    *_, stopped = submission.finish()
    assert isinstance(stopped, RoundsStopped)
    assert "credit" in stopped.why
    assert requests_created(emulator) == [5]
    assert "credit balance" not in stopped.why


def test_a_clear_after_credit_was_bought_sends_what_was_refused(sent, emulator):
    submission = sent({"with_": "errored", "error_type": "billing_error", "count": 2})
    assert isinstance(submission.finish(try_number=1)[-1], RoundsStopped)
    assert isinstance(submission.finish(try_number=1)[-1], RoundsStopped)
    assert begun(submission.finish(try_number=2)) == [(1, 2)]
    assert submission.final()["claude_outcome"].to_pylist() == ["ok"] * 5


def test_what_a_person_canceled_is_not_sent_again(sent, emulator):
    submission = sent({"with_": "canceled", "count": 3})
    submission.folder.mark_canceled()
    *_, stopped = submission.finish()
    assert isinstance(stopped, RoundsStopped)
    assert requests_created(emulator) == [5]


def test_a_generation_that_was_taken_over_sends_no_round(sent, emulator):
    submission = sent({"with_": "expired", "count": 2})
    now = lambda: dt.datetime.now(dt.UTC)  # noqa: E731
    settle_generations([submission.folder], submission.hook, grace=RULES.grace, try_number=1, clock=now)
    assert isinstance(submission.finish()[-1], RoundsStopped)
    assert requests_created(emulator) == [5]


def test_rows_of_several_shards_and_samples_find_their_way_back(sent, emulator):
    submission = sent({"with_": "expired", "count": 4}, max_requests=3, samples_per_row=2)
    submission.finish()
    rows = submission.final()
    pairs = sorted(zip(rows["id"].to_pylist(), rows["claude_sample"].to_pylist(), strict=True))
    assert pairs == [(row, sample) for row in range(5) for sample in range(2)]
    assert rows["claude_outcome"].to_pylist() == ["ok"] * 10
    assert len(set(rows["claude_custom_id"].to_pylist())) == 10


def test_results_that_were_landed_are_enough_if_their_batch_is_gone_since(sent, emulator):
    submission = sent(max_requests=3)
    submission.land()
    submission.hook.delete_batch(submission.folder.read_batch(0, 0).batch_id)
    assert not any(step.is_new for step in submission.finish())
    assert submission.final()["claude_outcome"].to_pylist() == ["ok"] * 5
    assert emulator.calls.count_of("results") == 2
    gone, there = (submission.folder.read_batch(0, shard) for shard in range(2))
    assert gone.loaded_at
    assert gone.ended_at is None
    assert there.loaded_at > there.ended_at > there.created_at


def test_only_own_batches_are_deleted_and_the_rows_are_still_there(sent, emulator):
    submission = sent({"with_": "expired", "count": 2})
    foreign = create_batches()[0]
    submission.finish()
    plan, _ = require_plan(submission.folder)
    assert len(delete_batches(submission.folder, plan, submission.hook)) == 2
    assert [batch["id"] for batch in emulator.batches] == [foreign]
    assert delete_batches(submission.folder, plan, submission.hook) == []
    assert submission.final()["claude_outcome"].to_pylist() == ["ok"] * 5


def test_a_late_try_with_other_arguments_changes_nothing_of_a_round_that_was_sent(sent, emulator):
    submission = sent({"with_": "max_tokens", "count": 3}, {"with_": "invalid-output", "count": 1})
    plan, first_round = require_plan(submission.folder)
    emulator.settings(seconds_per_batch=3600)
    submission.finish()
    late = RoundRules(grow_max_tokens=1.0, credit_is_back=False, model_limit=lambda _model: None)
    made = make_round(submission.folder, plan, [first_round], late, cutter=ShardCutter())
    assert made.record == submission.folder.rounds(plan)[1]
    emulator.advance(3600)
    submission.finish()
    rows = submission.final()
    assert rows["claude_outcome"].to_pylist() == ["ok"] * 5
    assert requests_created(emulator) == [5, 4]


def refused_round(sent, emulator, **refusal):
    submission = sent({"with_": "expired", "count": 2})
    emulator.fail_once("create", with_="status", **refusal)
    return submission


def test_a_round_that_waits_is_not_sent_once_a_person_cancels(sent, emulator):
    submission = refused_round(sent, emulator, status=429, retry_after=60)
    assert isinstance(submission.finish()[-1], Pause)
    submission.folder.mark_canceled()
    assert any(isinstance(step, RoundsStopped) for step in submission.finish())
    assert requests_created(emulator) == [5]
    rows = submission.final()
    assert sorted(rows["claude_outcome"].to_pylist()) == ["expired"] * 2 + ["ok"] * 3
    assert rows["claude_rounds"].to_pylist() == [1] * 5
    assert begun(submission.finish()) == []


def test_a_round_that_the_api_refuses_leaves_the_rows_as_they_were(sent, emulator):
    submission = refused_round(sent, emulator, status=403, error_type="permission_error")
    assert any(isinstance(step, RoundsStopped) for step in submission.finish())
    assert requests_created(emulator) == [5]
    assert sorted(submission.final()["claude_outcome"].to_pylist()) == ["expired"] * 2 + ["ok"] * 3
    assert begun(submission.finish()) == []
    assert requests_created(emulator) == [5]
