"""A lost answer: the batch is looked for, proven and adopted; nothing is ever posted to find out."""

import dataclasses
import datetime as dt
import json
import sqlite3

import pytest

from airflow_provider_claude_batch.core.manifest import Sent
from airflow_provider_claude_batch.errors import (
    CreateRefusedError,
    GenerationClosedError,
    OtherAccountError,
    SubmissionUncertainError,
)
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.hooks.listing import Account, list_batches
from airflow_provider_claude_batch.submission.deployment import send_rules
from airflow_provider_claude_batch.submission.land_taken import BILLED_COLUMNS
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.proof import prove
from airflow_provider_claude_batch.submission.send import SentShard
from airflow_provider_claude_batch.submission.settle import settle_generations
from tests.provider.submitting import RULES, create_batches, takeover_from

ACCOUNT = Account(organization_id=None, workspace_id=None)


def now():
    return dt.datetime.now(dt.UTC)


def settle(folder, hook):
    return settle_generations([folder], hook, grace=RULES.grace, try_number=2, clock=now)


@pytest.mark.parametrize("fault", ["reset-connection", "close-connection"])
def test_a_batch_whose_answer_is_lost_is_adopted_when_it_has_ended(submission, emulator, fault):
    emulator.settings(seconds_per_batch=600)
    emulator.fail_once("create", after="accepted", with_=fault)
    submission.snapshot()
    (pause,) = submission.send()
    (batch,) = emulator.batches
    assert pause.batch_ids == (batch["id"],)
    assert submission.send() == [pause]
    emulator.advance(601)
    (found,) = submission.send()
    assert found == SentShard(found.shard, found.batch, is_new=True)
    assert (found.batch.batch_id, found.batch.known_by) == (batch["id"], "proven")
    assert emulator.calls.count_of("create") == 1
    submission.land()
    assert submission.publish()["claude_outcome"].to_pylist() == ["ok"] * 5


def test_a_5xx_after_the_body_is_whole_is_not_a_no(submission, emulator):
    emulator.fail_once("create", after="accepted", with_="status", status=502)
    submission.snapshot()
    submission.send()
    assert emulator.faults_left == 0
    assert emulator.calls.count_of("create") == 1


def test_what_was_never_accepted_is_sent_again_only_after_the_grace(submission, emulator):
    emulator.fail_once("create", after="received", with_="reset-connection")
    submission.snapshot()
    for _ in range(2):
        (pause,) = submission.send()
        assert pause.batch_ids == ()
        assert 880 < pause.seconds <= 902
    assert emulator.batches == []
    emulator.advance(902)
    (sent,) = submission.send()
    assert len(emulator.batches) == 1
    assert [attempt.attempt for attempt, _ in submission.folder.attempts(0, 0)] == [1, 2]
    assert sent.batch.known_by == "answered"


def test_a_list_that_lags_hides_nothing_for_ever(submission, emulator):
    emulator.fail_once("create", after="accepted", with_="reset-connection")
    emulator.fail("list", with_="lag", seconds=5, times=None)
    submission.snapshot()
    (pause,) = submission.send()
    assert pause.batch_ids == ()
    emulator.advance(10)
    (found,) = submission.send()
    assert found.batch.known_by == "proven"
    assert emulator.calls.count_of("create") == 1


def test_other_peoples_batches_of_the_same_count_are_released(submission, emulator, table):
    with sqlite3.connect(table) as connection:
        connection.execute("delete from items where id > 0")
    connection.close()
    emulator.settings(seconds_per_batch=600)
    emulator.fail_once("create", after="received", with_="reset-connection")
    submission.snapshot()
    submission.send()
    foreign = create_batches(2)
    (pause,) = submission.send()
    assert set(pause.batch_ids) == set(foreign)
    emulator.advance(601)
    (pause,) = submission.send()
    assert pause.batch_ids == ()
    emulator.advance(400)
    (sent,) = submission.send()
    assert sent.batch.batch_id not in foreign


def test_two_shards_of_one_submission_lost_at_once_are_told_apart(submission, emulator):
    emulator.settings(seconds_per_batch=600)
    emulator.fail("create", after="accepted", with_="reset-connection", times=2)
    submission.snapshot(max_requests=2)
    *sent, pause = submission.send()
    assert [step.shard.index for step in sent] == [2]
    assert len(pause.batch_ids) == 2
    emulator.advance(601)
    found = {step.shard.index: step.batch.batch_id for step in submission.send()}
    assert len(set(found.values())) == 3
    submission.land()
    assert submission.publish()["id"].to_pylist().sort() == list(range(5)).sort()


def test_a_process_that_stood_still_before_the_last_byte_withholds_it(submission, emulator):
    submission.snapshot()
    folder, stood_still = submission.folder, dt.timedelta(0)

    class Stopped(ManifestFolder):
        """A process that is stopped when the record is written, and wakes much later."""

        def write_sent(self, round_index, shard, record):
            nonlocal stood_still
            super().write_sent(round_index, shard, record)
            stood_still = RULES.grace

    submission.folder = Stopped(folder.folder)
    with pytest.raises(CreateRefusedError, match="withheld"):
        submission.send(clock=lambda: now() + stood_still)
    submission.folder = folder
    assert emulator.batches == []
    ((_, refused),) = submission.folder.attempts(0, 0)
    assert refused.status_code == 0
    assert len(submission.send()) == 1


def test_another_keys_workspace_is_refused(submission, emulator, monkeypatch):
    emulator.settings(api_keys={"sk-a": "wrkspc_a", "sk-b": "wrkspc_b"})
    account = json.loads(emulator.connection_json)
    monkeypatch.setenv("AIRFLOW_CONN_FIRST", json.dumps({**account, "password": "sk-a"}))
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({**account, "password": "sk-b"}))
    with ClaudeBatchHook("first").client as first, ClaudeBatchHook("other").client:
        submission.snapshot(account=list_batches(first).account)
        submission.hook = ClaudeBatchHook("other")
        with pytest.raises(OtherAccountError, match=r"wrkspc_a.*wrkspc_b"):
            submission.send()
    assert emulator.batches == []


def test_a_rate_limit_is_waited_out_as_long_as_the_api_asks(submission, emulator):
    emulator.fail_once("create", with_="status", status=429, retry_after=77)
    submission.snapshot()
    (pause,) = submission.send()
    assert pause.seconds == 77
    assert len(submission.send()) == 1
    assert len(emulator.batches) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"with_": "spend-limit"}, "spend limit is reached"),
        ({"with_": "status", "status": 401}, "mend the connection"),
        ({"with_": "status", "status": 402}, "billing needs attention"),
        ({"with_": "status", "status": 403}, "give it the permission"),
        ({"with_": "status", "status": 413, "form": "html"}, "max_bytes_per_batch"),
    ],
)
def test_what_does_not_pass_by_itself_says_what_a_person_has_to_do(submission, emulator, fault, words):
    emulator.fail_once("create", **fault)
    submission.snapshot()
    with pytest.raises(CreateRefusedError, match=words) as caught:
        submission.send()
    assert not caught.value.is_temporary
    assert "nothing is billed" in str(caught.value)
    assert emulator.batches == []


def test_a_full_queue_is_waited_for_and_other_peoples_batches_count(submission, emulator):
    emulator.settings(seconds_per_batch=600)
    create_batches(2)
    submission.snapshot(max_requests=2)
    rules = dataclasses.replace(RULES, max_queued_requests=6)
    sent = [len(submission.send(rules=rules))]
    pause = submission.send(rules=rules)[-1]
    assert isinstance(pause, Pause)
    assert "holds 6 requests of at most 6" in pause.why
    assert len(pause.batch_ids) == 4
    emulator.advance(601)
    sent.append(len(submission.send(rules=rules)))
    assert sent == [3, 3]
    assert emulator.calls.count_of("create") == 5
    assert emulator.calls.count_of("create", 429) == 0


def test_the_connection_says_how_much_its_queue_takes(emulator, monkeypatch):
    connection = {**json.loads(emulator.connection_json), "extra": {"max_queued_requests": 123}}
    monkeypatch.setenv("AIRFLOW_CONN_SMALL", json.dumps(connection))
    assert send_rules(ClaudeBatchHook("small")).max_queued_requests == 123
    assert send_rules(ClaudeBatchHook()).max_queued_requests == 200_000


def second_generation(submission):
    uri = submission.folder.uri.replace("/g00", "/g01")
    return dataclasses.replace(submission, folder=ManifestFolder.at(uri))


def taking_over(submission, **arguments):
    """Take and send the snapshot of the next generation."""
    settle(submission.folder, submission.hook)
    second = second_generation(submission)
    takeover = takeover_from([submission.folder], submission.hook, account=ACCOUNT)
    second.snapshot(identity="f" * 16, takeover=takeover, **arguments)
    return second, second.send()


def test_a_new_generation_takes_answers_that_are_there_already(submission, emulator):
    submission.snapshot(max_requests=3)
    submission.send()
    submission.land()
    before = submission.publish()
    second, steps = taking_over(submission)
    assert [step.shard.requests for step in steps] == [0, 0]
    assert emulator.calls.count_of("create") == 2
    second.land()
    after = second.publish()
    assert set(after["claude_reused_from"].to_pylist()) == {submission.folder.uri}
    changed = {"claude_reused_from", *BILLED_COLUMNS}
    kept = [name for name in before.column_names if name not in changed]
    assert after.select(kept).sort_by("id").equals(before.select(kept).sort_by("id"))


def test_what_was_paid_for_is_on_one_receipt(submission, emulator):
    submission.snapshot()
    submission.send()
    submission.land()
    second, _ = taking_over(submission)
    second.land()
    billed = emulator.bill["total"]["output_tokens"]
    assert sum(second.publish()["claude_output_tokens"].to_pylist()) == billed
    with pytest.raises(GenerationClosedError, match="is not published"):
        submission.publish()
    third = dataclasses.replace(
        submission, folder=ManifestFolder.at(submission.folder.uri.replace("/g00", "/g02"))
    )
    takeover = takeover_from([submission.folder], submission.hook, account=ACCOUNT)
    third.snapshot(identity="e" * 16, takeover=takeover)
    third.send()
    third.land()
    assert sum(third.publish()["claude_output_tokens"].to_pylist()) == 0


def test_a_new_generation_takes_answers_that_are_still_to_come_and_sends_what_is_new(
    submission, emulator, table
):
    emulator.settings(seconds_per_batch=600)
    submission.snapshot()
    submission.send()
    with sqlite3.connect(table) as connection:
        connection.execute("update items set body = 'a pear' where id = 2")
        connection.execute("insert into items values (77, 'a plum')")
    connection.close()
    second, steps = taking_over(submission, passthrough=["body"])
    assert sorted((step.shard.requests, step.is_new) for step in steps) == [(0, False), (2, True)]
    emulator.advance(601)
    second.land()
    rows = {row["id"]: row for row in second.publish().to_pylist()}
    assert sorted(rows) == [0, 1, 2, 3, 4, 77]
    assert rows[2]["body"] == "a pear"
    assert [key for key, row in sorted(rows.items()) if row["claude_reused_from"] is None] == [2, 77]
    assert {row["claude_outcome"] for row in rows.values()} == {"ok"}
    assert emulator.calls.count_of("create") == 2


def test_the_same_question_of_two_rows_is_taken_twice_only_where_it_was_asked_twice(
    submission, emulator, table
):
    submission.snapshot(samples_per_row=2, deduplicate=False)
    submission.send()
    with sqlite3.connect(table) as connection:
        connection.execute("insert into items select id + 100, body from items")
    connection.close()
    second, steps = taking_over(submission, samples_per_row=2, deduplicate=False)
    assert sorted(step.shard.requests for step in steps) == [0, 10]
    second.land()
    ids = second.publish()["claude_request_id"]
    assert len(ids) == 20


def test_what_was_not_billed_is_sent_again(submission, emulator):
    emulator.fail("lines", with_="errored", count=2, error_type="overloaded_error")
    submission.snapshot()
    submission.send()
    submission.land()
    second, steps = taking_over(submission)
    assert sorted(step.shard.requests for step in steps) == [0, 2]
    second.land()
    assert second.publish()["claude_outcome"].to_pylist() == ["ok"] * 5


def test_answers_of_two_generations_back_are_taken_from_where_they_are(submission, emulator):
    submission.snapshot()
    submission.send()
    second, _ = taking_over(submission)
    third = dataclasses.replace(
        submission, folder=ManifestFolder.at(submission.folder.uri.replace("/g00", "/g02"))
    )
    takeover = takeover_from([second.folder, submission.folder], submission.hook, account=ACCOUNT)
    third.snapshot(identity="e" * 16, takeover=takeover)
    third.send()
    third.land()
    assert third.publish()["claude_outcome"].to_pylist() == ["ok"] * 5
    assert emulator.calls.count_of("create") == 1


def test_an_old_generation_that_was_left_behind_sends_nothing_more(submission, emulator):
    submission.snapshot(max_requests=3)
    assert settle(submission.folder, submission.hook) == []
    assert settle(submission.folder, submission.hook) == []
    with pytest.raises(GenerationClosedError, match="Nothing was sent"):
        submission.send()
    assert emulator.calls.count_of("create") == 0


def test_a_sender_of_the_old_generation_that_wakes_at_its_last_byte_withholds_it(submission, emulator):
    submission.snapshot()
    folder, hook = submission.folder, submission.hook

    class Overtaken(ManifestFolder):
        """A folder whose generation is closed while its body is on the wire."""

        def write_sent(self, round_index, shard, record):
            settle(folder, hook)
            super().write_sent(round_index, shard, record)

    submission.folder = Overtaken(folder.folder)
    with pytest.raises(SubmissionUncertainError, match="another process"):
        submission.send()
    assert emulator.batches == []


def test_a_lost_answer_of_an_old_generation_is_found_before_a_new_one_begins(submission, emulator):
    emulator.settings(seconds_per_batch=600)
    emulator.fail_once("create", after="accepted", with_="reset-connection")
    submission.snapshot()
    submission.send()
    (pause,) = settle(submission.folder, submission.hook)
    assert pause.batch_ids == (emulator.batches[0]["id"],)
    emulator.advance(601)
    assert settle(submission.folder, submission.hook) == []
    _, steps = taking_over(submission)
    assert [step.shard.requests for step in steps] == [0]
    assert emulator.calls.count_of("create") == 1


def test_shards_cut_by_their_number_have_numbers_of_their_own(submission, emulator):
    submission.snapshot(max_requests=2)
    _, record = require_plan(submission.folder)
    submission.send()
    proofs = [
        [prove(submission.hook, submission.folder, record, shard, batch["id"]) for shard in record.shards]
        for batch in reversed(emulator.batches)
    ]
    assert proofs == [["ours" if shard == batch else "foreign" for shard in range(3)] for batch in range(3)]


def test_the_record_says_when_by_the_clock_of_the_api(submission, emulator):
    emulator.advance(30 * 24 * 3600)
    submission.snapshot()
    submission.send()
    ((sent, _),) = submission.folder.attempts(0, 0)
    assert isinstance(sent, Sent)
    created_at = dt.datetime.fromisoformat(emulator.batches[0]["created_at"])
    assert abs(sent.sent_at - created_at) < dt.timedelta(seconds=5)
