"""Generations side by side, and what is settled, taken over and kept when something goes wrong between."""

import dataclasses
import datetime as dt
import json

import pytest

from airflow_provider_claude_batch.errors import (
    GenerationClosedError,
    OtherAccountError,
    PlanMissingError,
    SubmissionUncertainError,
    UnsafeStagingError,
)
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.hooks.listing import Account
from airflow_provider_claude_batch.submission.deployment import send_rules
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.retention import apply_retention
from airflow_provider_claude_batch.submission.retries import a_retry_can_help
from airflow_provider_claude_batch.submission.settle import settle_generations
from airflow_provider_claude_batch.submission.staging import open_generation
from airflow_provider_claude_batch.submission.storage import Folder
from tests.provider.datasets import digests, read_published
from tests.provider.submitting import RULES, successor, takeover_from


def now():
    return dt.datetime.now(dt.UTC)


def requests_sent(submission):
    return sum(step.shard.requests for step in submission.send())


def test_a_generation_that_was_closed_is_over_even_if_its_successor_never_came(submission, emulator):
    plan = submission.snapshot()
    settle_generations([submission.folder], submission.hook, grace=RULES.grace, try_number=1, clock=now)
    parent, _ = submission.folder.folder.parent()
    for try_number in (1, 2, 3):
        folder = open_generation(
            parent, settings_digest=plan.settings_digest, try_number=try_number, max_tries=1
        )
        assert folder.uri.endswith("/g01")


def test_answers_that_were_canceled_are_asked_for_again(submission, emulator):
    emulator.settings(seconds_per_batch=3600)
    submission.snapshot()
    submission.send()
    submission.hook.cancel_batch(emulator.batches[0]["id"])
    emulator.advance(600)
    assert emulator.batches[0]["processing_status"] == "ended"
    emulator.settings(seconds_per_batch=0)
    second = successor(submission)
    assert requests_sent(second) == 5
    second.land()
    assert second.publish()["claude_outcome"].to_pylist() == ["ok"] * 5


def two_workspaces(emulator, monkeypatch):
    emulator.settings(api_keys={"sk-a": "wrkspc_a", "sk-b": "wrkspc_b"})
    account = json.loads(emulator.connection_json)
    for name in ("a", "b"):
        connection = json.dumps({**account, "password": f"sk-{name}"})
        monkeypatch.setenv(f"AIRFLOW_CONN_KEY_{name.upper()}", connection)
    return ClaudeBatchHook("key_a"), ClaudeBatchHook("key_b")


def test_answers_in_another_workspace_are_taken_only_once_they_are_here(submission, emulator, monkeypatch):
    first, other = two_workspaces(emulator, monkeypatch)
    with first.client, other.client:
        submission.hook = first
        submission.snapshot(account=first.list_batches().account)
        submission.send()
        account = other.list_batches().account
        assert not len(takeover_from([submission.folder], other, account=account).free)
        submission.land()
        assert len(takeover_from([submission.folder], other, account=account).free) == 5


def test_a_key_of_another_workspace_is_refused_when_everything_was_sent_too(
    submission, emulator, monkeypatch
):
    first, other = two_workspaces(emulator, monkeypatch)
    with first.client, other.client:
        submission.hook = first
        submission.snapshot(account=first.list_batches().account)
        submission.send()
        submission.hook = other
        with pytest.raises(OtherAccountError, match="Nothing is sent"):
            submission.send()


def test_a_batch_that_was_deleted_is_not_taken(submission, emulator):
    submission.snapshot()
    submission.send()
    submission.hook.client.messages.batches.delete(emulator.batches[0]["id"])
    account = Account(organization_id=None, workspace_id=None)
    assert not len(takeover_from([submission.folder], submission.hook, account=account).free)


def test_one_404_of_a_live_batch_is_weather_and_its_answers_are_taken(submission, emulator):
    submission.snapshot()
    submission.send()
    emulator.fail_once("retrieve", with_="status", status=404)
    assert requests_sent(successor(submission)) == 0
    assert emulator.faults_left == 0


def test_what_a_successor_may_still_take_is_kept_until_it_has_published(submission, emulator):
    submission.snapshot(retain="nothing")
    submission.send()
    submission.land()
    second = successor(submission)
    assert requests_sent(second) == 0
    apply_retention(submission.folder, "nothing")
    second.land()
    assert second.publish().num_rows == 5


@pytest.mark.parametrize("how", [{}, {"partition_by": ("topic",)}], ids=["one object", "several files"])
def test_a_load_that_is_overtaken_before_its_put_publishes_nothing(submission, emulator, how):
    emulator.settings(seconds_per_batch=0)
    submission.snapshot()
    submission.send()
    submission.finish()
    published = []

    def be_slow(table):
        """Check the rows, while a person clears the submit task and its load comes to its end."""
        if not published:
            second = successor(submission, prompt="What is this, then: {body}")
            second.send()
            second.finish()
            second.publish(**how)
            published.append(digests(submission.destination))
        return True

    for _ in range(2):
        with pytest.raises(GenerationClosedError, match="destination keeps what it had") as caught:
            submission.publish(checks=be_slow, **how)
        assert not a_retry_can_help(caught.value)
        now_there = digests(submission.destination)
        assert {name: now_there[name] for name in published[0]} == published[0]
        assert read_published(submission.destination)["claude_custom_id"].to_pylist()[0].startswith("f" * 16)
    assert submission.folder.read_receipt() is None


def test_a_generation_whose_successor_never_came_is_published(submission, emulator):
    emulator.settings(seconds_per_batch=0)
    submission.snapshot()
    submission.send()
    submission.finish()
    Folder.at(submission.folder.uri.replace("/g00", "/g01")).write("r00/left-over", b"")
    assert submission.publish().num_rows == 5


def test_a_store_without_exclusive_creates_is_refused_on_every_try(submission, emulator):
    class Forgiving(Folder):
        """A store that lets a file be created twice."""

        def write_new(self, path, data):
            self.write(path, data)

    given = submission.folder.folder
    submission.folder = ManifestFolder(Forgiving(given.fs, given.root, given.uri))
    for identity in ("a" * 16, "b" * 16):
        with pytest.raises(UnsafeStagingError) as caught:
            submission.snapshot(identity=identity)
        assert not a_retry_can_help(caught.value)
        assert submission.folder.read_plan() is None


def test_a_put_that_the_store_repeats_is_not_taken_for_another_process(submission, emulator):
    submission.snapshot()
    folder = submission.folder

    class Repeating(Folder):
        """A client library that puts again what was put, since the answer was lost."""

        def write_new(self, path, data):
            super().write_new(path, data)
            super().write_new(path, data)

    repeating = Repeating(folder.folder.fs, folder.folder.root, folder.folder.uri)
    submission.folder = ManifestFolder(repeating)
    assert len(submission.send()) == 1


def test_a_404_while_a_batch_is_proven_is_waited_out(submission, emulator):
    emulator.settings(seconds_per_batch=600)
    emulator.fail_once("create", after="accepted", with_="reset-connection")
    submission.snapshot()
    submission.send()
    emulator.advance(601)
    emulator.fail_once("retrieve", with_="status", status=404)
    (pause,) = submission.send()
    assert isinstance(pause, Pause)
    assert pause.seconds <= 61
    (found,) = submission.send()
    assert found.batch.known_by == "proven"


def test_a_network_that_stays_down_after_a_lost_answer_is_a_pause(submission, emulator):
    submission.snapshot()
    emulator.fail_once("create", after="accepted", with_="reset-connection")
    hook = submission.hook

    class Down(ClaudeBatchHook):
        """A hook whose network goes down with the answer."""

        client = hook.client

        def create_batch(self, body, *, betas=()):
            emulator.fail("list", with_="reset-connection", times=3)
            return hook.create_batch(body, betas=betas)

    submission.hook = Down()
    (pause,) = submission.send()
    assert pause.seconds == 61
    assert emulator.faults_left == 0
    submission.hook = hook
    assert len(submission.send()) == 1
    assert emulator.calls.count_of("create") == 1


def test_an_answer_that_is_no_batch_is_a_lost_answer(submission, emulator):
    submission.snapshot()
    hook = submission.hook
    from anthropic.types.messages import MessageBatch

    class Gateway(ClaudeBatchHook):
        """A gateway that has its own idea of an answer."""

        client = hook.client

        def create_batch(self, body, *, betas=()):
            original = self.client.post
            self.client.post = lambda *a, **k: (original(*a, **k), MessageBatch.construct())[1]
            try:
                return super().create_batch(body, betas=betas)
            finally:
                self.client.post = original

    submission.hook = Gateway()
    (found,) = submission.send()
    assert found.batch.known_by == "proven"
    assert emulator.calls.count_of("create") == 1


@pytest.mark.parametrize("asked", [0, -5, 3])
def test_a_rate_limit_is_never_asked_again_at_once(submission, emulator, asked):
    submission.snapshot()
    seconds = []
    for _ in range(4):
        emulator.fail_once("create", with_="status", status=429, retry_after=asked)
        (pause,) = submission.send()
        assert pause.is_fixed
        seconds.append(pause.seconds)
    least = 60 if asked < 0 else 5
    assert seconds == [least, 2 * least, 4 * least, 8 * least]


def test_more_attempts_than_a_thousand_are_all_on_record(submission, emulator):
    submission.snapshot()
    submission.send()
    _, record = require_plan(submission.folder)
    ((sent, _),) = submission.folder.attempts(record.index, 0)
    for attempt in range(2, 1003):
        submission.folder.write_sent(0, 0, dataclasses.replace(sent, attempt=attempt))
    assert len(submission.folder.attempts(0, 0)) == 1002


def test_the_grace_follows_the_connections_own_timeout(emulator, monkeypatch):
    extra = {"anthropic_client_kwargs": {"timeout": 3600}}
    connection = {**json.loads(emulator.connection_json), "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_PATIENT", json.dumps(connection))
    with ClaudeBatchHook().client, ClaudeBatchHook("patient").client:
        assert send_rules(ClaudeBatchHook()).grace == dt.timedelta(minutes=15)
        assert send_rules(ClaudeBatchHook("patient")).grace == dt.timedelta(minutes=65)
        monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__LOST_CREATE_GRACE_SECONDS", "8")
        assert send_rules(ClaudeBatchHook("patient")).grace == dt.timedelta(seconds=8)


def test_errors_that_a_retry_mends_are_told_apart():
    assert a_retry_can_help(PlanMissingError("x"))
    assert a_retry_can_help(SubmissionUncertainError("x"))
    assert not a_retry_can_help(OtherAccountError("x"))
