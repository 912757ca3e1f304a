import io

import pytest

from airflow_provider_claude_batch.cli.main import main
from tests.cli import stages
from tests.provider.submitting import create_batches


def adopt(submission, shard, batch_id, *options):
    return main(["adopt", submission.folder.uri, str(shard), batch_id, *options])


def test_a_proven_batch_is_recorded_and_a_retry_sends_nothing(submission, emulator):
    lost = stages.answer_lost(submission, shard=1)[1]
    assert adopt(submission, 1, lost, "--yes") == 0
    record = submission.folder.read_batch(0, 1)
    assert (record.batch_id, record.known_by) == (lost, "proven")
    submission.send()
    assert emulator.calls.count_of("create") == 3


def test_it_asks_first(submission, capsys, monkeypatch):
    lost = stages.answer_lost(submission, shard=1)[1]
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert adopt(submission, 1, lost) == 1
    assert submission.folder.read_batch(0, 1) is None
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert adopt(submission, 1, lost) == 0
    assert "is proven to be shard 1" in capsys.readouterr().out


def test_a_batch_of_someone_else_is_refused_whatever_is_said(submission, capsys):
    stages.answer_lost(submission, shard=2)
    (foreign,) = create_batches()
    assert adopt(submission, 2, foreign, "--yes", "--unproven") == 1
    assert "answers other requests" in capsys.readouterr().err
    assert submission.folder.read_batch(0, 2) is None


def test_a_batch_of_another_shard_is_refused(submission, capsys):
    first, _, _ = stages.answer_lost(submission, shard=1)
    assert adopt(submission, 1, first, "--yes") == 1
    assert f"{first} is shard 0 on record" in capsys.readouterr().err


def test_a_running_batch_has_to_be_waited_for(submission, emulator, capsys):
    emulator.settings(seconds_per_batch=3600)
    lost = stages.answer_lost(submission, shard=1)[1]
    assert adopt(submission, 1, lost, "--yes", "--unproven") == 1
    assert "only an ended batch can be proven: wait for its end" in capsys.readouterr().err
    assert submission.folder.read_batch(0, 1) is None


def test_results_that_are_gone_need_a_person_s_word(submission, emulator, capsys):
    lost = stages.answer_lost(submission, shard=1)[1]
    emulator.advance(30 * 24 * 3600)
    assert adopt(submission, 1, lost, "--yes") == 1
    assert "say --unproven" in capsys.readouterr().err
    assert adopt(submission, 1, lost, "--yes", "--unproven") == 0
    assert submission.folder.read_batch(0, 1).batch_id == lost


def test_a_shard_that_was_never_sent_is_no_batch(submission, emulator, capsys):
    stages.partly_sent(submission, emulator)
    (batch_id,) = create_batches()
    for shard in (1, 2):
        assert adopt(submission, shard, batch_id, "--yes") == 1
        assert "no batch can be it" in capsys.readouterr().err


def test_what_is_on_record_stays(submission, capsys):
    first, second, _ = stages.answer_lost(submission, shard=2)
    assert adopt(submission, 0, first) == 0
    assert "on record already" in capsys.readouterr().out
    assert adopt(submission, 0, second) == 1
    assert submission.folder.read_batch(0, 0).batch_id == first


@pytest.mark.parametrize(("shard", "options"), [(3, []), (0, ["--round", "1"])])
def test_a_shard_that_there_is_not_is_refused(submission, shard, options, capsys):
    stages.answer_lost(submission)
    assert adopt(submission, shard, "msgbatch_x", *options) == 1
    assert f"has no shard {shard}" in capsys.readouterr().err


def test_a_batch_that_there_is_not_is_refused(submission, capsys):
    stages.answer_lost(submission)
    assert adopt(submission, 0, "msgbatch_x", "--yes") == 1
    assert "shows no batch msgbatch_x" in capsys.readouterr().err
