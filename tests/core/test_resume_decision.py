import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.manifest import Refused, Sent
from airflow_provider_claude_batch.core.resume_decision import (
    ListedBatch,
    QueueRoom,
    ResumeDecision,
    decide_resume,
    queue_room,
)

SENT_AT = dt.datetime(2026, 11, 22, 3, tzinfo=dt.UTC)
GRACE = dt.timedelta(minutes=15)


def sent(attempt=1, *, cursor=None, requests=5, minutes=0, is_closed=False):
    return Sent(
        attempt=attempt,
        cursor=cursor,
        request_count=requests,
        looked_at=SENT_AT + dt.timedelta(minutes=minutes),
        sent_at=SENT_AT + dt.timedelta(minutes=minutes),
        try_number=1,
        nonce="0",
        is_closed=is_closed,
    )


def refused(attempt=1):
    return Refused(
        attempt=attempt,
        status_code=429,
        error_type=None,
        request_id=None,
        refused_at=SENT_AT,
    )


def batch(batch_id, *, requests=5, minutes=0.1, has_ended=False):
    return ListedBatch(
        batch_id=batch_id,
        created_at=SENT_AT + dt.timedelta(minutes=minutes),
        request_count=requests,
        has_ended=has_ended,
    )


def decide(attempts, listed=(), *, proofs=None, claimed=(), minutes=1.0):
    return decide_resume(
        attempts,
        listed=listed,
        proofs=proofs or {},
        claimed=claimed,
        now=SENT_AT + dt.timedelta(minutes=minutes),
        grace=GRACE,
    )


LOST = [(sent(), None)]


def test_a_shard_that_was_never_sent_is_sent_at_once():
    assert decide([]) == ResumeDecision(action="send", attempt=1)


def test_after_a_definite_no_the_next_attempt_is_made():
    assert decide([(sent(), refused())]) == ResumeDecision(action="send", attempt=2)


def test_a_closed_shard_is_never_sent():
    attempts = [(sent(), refused()), (sent(2, is_closed=True), None)]
    assert decide(attempts).action == "closed"


def test_nothing_listed_is_waited_for_until_the_grace_is_over():
    assert decide(LOST, minutes=14.9) == ResumeDecision(action="wait", until=SENT_AT + GRACE)
    assert decide(LOST, minutes=15) == ResumeDecision(action="send", attempt=2)


def test_a_running_candidate_is_waited_for_however_long_it_takes():
    assert decide(LOST, [batch("a")], minutes=600) == ResumeDecision(action="wait", batch_ids=("a",))


def test_an_ended_candidate_is_proven_before_anything_else():
    listed = [batch("b", minutes=2), batch("a", has_ended=True)]
    assert decide(LOST, listed) == ResumeDecision(action="prove", batch_ids=("a",))


def test_what_is_proven_ours_is_adopted_whatever_else_is_listed():
    listed = [batch("c", minutes=3), batch("b", minutes=2, has_ended=True), batch("a", has_ended=True)]
    assert decide(LOST, listed, proofs={"b": "ours"}) == ResumeDecision(action="adopt", batch_ids=("b",))


def test_what_is_proven_foreign_is_released():
    listed = [batch("a", has_ended=True)]
    assert decide(LOST, listed, proofs={"a": "foreign"}).action == "wait"
    assert decide(LOST, listed, proofs={"a": "foreign"}, minutes=16).action == "send"


def test_a_batch_that_is_another_shards_is_no_candidate():
    assert decide(LOST, [batch("a")], claimed={"a"}, minutes=16).action == "send"


def test_only_a_person_can_tell_a_candidate_whose_results_are_gone():
    listed = [batch("a", has_ended=True)]
    assert decide(LOST, listed, proofs={"a": "unreadable"}) == ResumeDecision(
        action="refuse", batch_ids=("a",)
    )


def test_a_candidate_that_had_not_ended_when_it_was_read_is_waited_for():
    decision = decide(LOST, [batch("a", has_ended=True)], proofs={"a": "not ended"})
    assert decision == ResumeDecision(action="wait", until=SENT_AT + dt.timedelta(minutes=2))


@pytest.mark.parametrize(
    "other",
    [
        batch("a", requests=4),
        batch("a", requests=6),
        batch("a", minutes=-61),
        batch("a", minutes=76),
    ],
)
def test_another_count_or_another_time_makes_no_candidate(other):
    assert decide(LOST, [other], minutes=80).action == "send"


@pytest.mark.parametrize("minutes", [-59, 74])
def test_a_clock_that_is_off_by_less_than_an_hour_hides_nothing(minutes):
    assert decide(LOST, [batch("a", minutes=minutes)], minutes=80).batch_ids == ("a",)


def test_what_is_newer_than_the_cursor_may_be_it_whatever_its_time_says():
    attempts = [(sent(cursor="cursor"), None)]
    listed = [batch("a", minutes=-600), batch("cursor", minutes=-601)]
    assert decide(attempts, listed, minutes=80).batch_ids == ("a",)


def test_the_cursor_and_what_is_older_make_no_candidate():
    attempts = [(sent(cursor="cursor"), None)]
    listed = [batch("new", minutes=1), batch("cursor", minutes=0.3), batch("old", minutes=0.2)]
    assert decide(attempts, listed) == ResumeDecision(action="wait", batch_ids=("new",))


def test_a_cursor_that_was_deleted_is_replaced_by_its_time():
    attempts = [(sent(cursor="gone"), None)]
    listed = [batch("new", minutes=1), batch("old", minutes=-61)]
    assert decide(attempts, listed) == ResumeDecision(action="wait", batch_ids=("new",))


def test_the_batch_of_an_earlier_attempt_is_found_after_a_later_one_was_made():
    attempts = [(sent(), None), (sent(2, minutes=20), None)]
    assert decide(attempts, [batch("a")], minutes=21).batch_ids == ("a",)


@given(
    listed=st.lists(
        st.builds(
            batch,
            st.integers(0, 99).map(str),
            requests=st.sampled_from([4, 5]),
            minutes=st.floats(-90, 120),
            has_ended=st.booleans(),
        ),
        unique_by=lambda each: each.batch_id,
        max_size=6,
    ),
    minutes=st.floats(0, 60),
    proofs=st.dictionaries(
        st.integers(0, 99).map(str), st.sampled_from(["ours", "foreign", "unreadable"]), max_size=6
    ),
)
def test_nothing_is_sent_while_anything_may_be_it(listed, minutes, proofs):
    listed = sorted(listed, key=lambda each: each.created_at, reverse=True)
    decision = decide(LOST, listed, proofs=proofs, minutes=minutes)
    possible = [
        each
        for each in listed
        if each.request_count == 5
        and -60 < (each.created_at - SENT_AT).total_seconds() / 60 <= 75
        and proofs.get(each.batch_id) != "foreign"
    ]
    if decision.action == "send":
        assert minutes >= 15
        assert not possible
    elif not possible:
        assert decision.action == "wait"


def test_the_queue_counts_every_batch_that_has_not_ended():
    listed = [batch("c", requests=60), batch("b", requests=30), batch("a", requests=99, has_ended=True)]
    assert queue_room(listed, request_count=10, max_queued_requests=100).has_room
    assert queue_room(listed, request_count=11, max_queued_requests=100) == QueueRoom(
        has_room=False, queued=90, running=("b", "c")
    )


def test_a_shard_larger_than_the_queue_goes_into_an_empty_one():
    ended = [batch("a", requests=99, has_ended=True)]
    assert queue_room(ended, request_count=500, max_queued_requests=100).has_room
    assert not queue_room([batch("b")], request_count=500, max_queued_requests=100).has_room
