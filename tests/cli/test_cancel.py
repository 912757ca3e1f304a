import io
import json

import pytest

from airflow_provider_claude_batch.cli.main import main
from tests.cli import stages


@pytest.fixture
def running(submission, emulator):
    emulator.settings(seconds_per_batch=3600)
    submission.snapshot(max_requests=2)
    return [sent.batch.batch_id for sent in submission.send()]


def statuses(emulator):
    return {batch["id"]: batch["processing_status"] for batch in emulator.batches}


def test_every_running_batch_is_canceled_once_confirmed(running, submission, emulator, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["cancel", submission.folder.uri]) == 0
    assert set(statuses(emulator).values()) <= {"canceling", "ended"}
    assert emulator.calls.count_of("cancel", 200) == 3
    out = capsys.readouterr().out
    assert all(batch_id in out for batch_id in running)
    assert "are billed" in out


@pytest.mark.parametrize("answer", ["", "n\n", "\n", "what\n"])
def test_whoever_does_not_agree_cancels_nothing(running, submission, emulator, answer, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert main(["cancel", submission.folder.uri]) == 1
    assert emulator.calls.count_of("cancel") == 0
    assert capsys.readouterr().out.endswith("Nothing was canceled.\n")


def test_an_ended_batch_is_left_alone(submission, emulator, capsys):
    stages.published(submission)
    assert main(["cancel", submission.folder.uri, "--yes"]) == 0
    assert emulator.calls.count_of("cancel") == 0
    assert "There is nothing to cancel." in capsys.readouterr().out


def test_a_batch_that_is_not_proven_is_never_canceled(running, submission, emulator, capsys):
    submission.folder.folder.remove("r00/batch-00001.json")
    assert main(["cancel", submission.folder.uri, "--yes"]) == 0
    assert statuses(emulator)[running[1]] == "in_progress"
    assert emulator.calls.count_of("cancel") == 2
    assert "Shard 1: its answer is lost" in capsys.readouterr().out


def test_one_batch_that_cannot_be_canceled_does_not_keep_the_others(running, submission, emulator, capsys):
    emulator.fail_once("cancel", with_="status", status=403, message="not allowed")
    assert main(["cancel", submission.folder.uri, "--yes"]) == 1
    assert list(statuses(emulator).values()).count("in_progress") == 1
    assert "was not canceled and goes on: HTTP 403" in capsys.readouterr().out


def test_shards_that_are_not_sent_are_named_since_a_retry_sends_them(submission, emulator, capsys):
    emulator.settings(seconds_per_batch=3600)
    stages.partly_sent(submission, emulator)
    assert main(["cancel", submission.folder.uri, "--yes"]) == 0
    assert "2 shards not sent: a retry of the submit task sends what is left" in capsys.readouterr().out


def test_what_was_canceled_is_loaded_as_canceled(running, submission, emulator):
    emulator.advance(1800)
    assert main(["cancel", submission.folder.uri, "--yes"]) == 0
    emulator.advance(60)
    submission.land()
    outcomes = submission.publish()["claude_outcome"].to_pylist()
    assert len(outcomes) == 5
    assert "canceled" in outcomes


def test_batches_of_others_are_not_touched(running, submission, emulator):
    other = submission.hook.client.messages.batches.create(
        requests=[
            {
                "custom_id": "a",
                "params": {
                    "model": "claude-haiku-5-5",
                    "max_tokens": 5,
                    "messages": [{"role": "user", "content": "Hi"}],
                },
            }
        ]
    )
    assert main(["cancel", submission.folder.uri, "--yes"]) == 0
    assert statuses(emulator)[other.id] == "in_progress"


def test_the_record_is_not_changed(running, submission):
    before = submission.folder.folder.read("r00/batch-00000.json")
    main(["cancel", submission.folder.uri, "--yes"])
    assert json.loads(submission.folder.folder.read("r00/batch-00000.json")) == json.loads(before)
