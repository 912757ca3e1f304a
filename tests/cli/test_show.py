import datetime as dt
import json

import pytest

from airflow_provider_claude_batch.cli.main import main
from airflow_provider_claude_batch.submission.settle import settle_generations
from tests.cli import stages

ROW_TEXTS = ("apple", "iron", "What is this")


def shown(capsys, submission, *options):
    assert main(["show", submission.folder.uri, *options]) == 0
    return capsys.readouterr().out


def shown_json(capsys, submission, *options):
    return json.loads(shown(capsys, submission, "--json", *options))


def test_a_planned_submission_says_what_sending_it_costs(submission, capsys):
    submission.snapshot(max_requests=2)
    (step,) = shown_json(capsys, submission)["next"]
    assert "sends 3 shards with 5 requests, which are billed" in step


def test_every_attempt_and_refusal_is_shown(submission, emulator, capsys):
    stages.partly_sent(submission, emulator)
    first, second, third = shown_json(capsys, submission)["shards"]
    assert (first["state"], second["state"], third["state"]) == ("batch", "not sent", "not sent")
    assert second["attempts"][0]["refused"]["status_code"] == 402
    text = shown(capsys, submission)
    assert "attempt 1 sent" in text
    assert "402" in text


def test_a_lost_answer_is_looked_for_until_its_time_is_over(submission, capsys):
    stages.answer_lost(submission, shard=1)
    (step,) = shown_json(capsys, submission)["next"]
    assert step.startswith("Shard 1 was sent and its answer is lost")
    assert "attempt 2" in step


def test_live_names_the_batch_that_a_lost_answer_may_be(submission, capsys):
    lost = stages.answer_lost(submission, shard=1)[1]
    (step,) = shown_json(capsys, submission, "--live")["next"]
    assert lost in step
    assert "costs nothing" in step


def test_live_says_when_no_batch_can_be_it(submission, emulator, monkeypatch, capsys):
    stages.answer_lost(submission, shard=2)
    emulator.fail("list", with_="lag", seconds=3600, times=None)
    (step,) = shown_json(capsys, submission, "--live")["next"]
    assert step.startswith("Shard 2: no batch that it could be is listed. A retry looks until")
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__LOST_CREATE_GRACE_SECONDS", "5")
    emulator.advance(7)
    (step,) = shown_json(capsys, submission, "--live")["next"]
    assert "sends it again as attempt 2: 1 request." in step


def test_live_shows_each_batch_as_it_is_now(submission, emulator, capsys):
    emulator.settings(seconds_per_batch=3600)
    submission.snapshot(max_requests=2)
    submission.send()
    assert [
        shard["now"]["processing_status"] for shard in shown_json(capsys, submission, "--live")["shards"]
    ] == ["in_progress"] * 3
    emulator.advance(3601)
    assert "now: ended, 2 succeeded" in shown(capsys, submission, "--live")


def test_without_live_the_api_is_not_asked(submission, emulator, capsys):
    stages.answer_lost(submission)
    before = len(emulator.calls)
    shown(capsys, submission)
    assert len(emulator.calls) == before


def test_what_came_from_a_row_or_a_prompt_is_never_shown(submission, capsys):
    stages.published(submission)
    told = shown(capsys, submission, "--live") + shown(capsys, submission, "--live", "--json")
    assert not [text for text in ROW_TEXTS if text in told]


def test_answer_columns_are_shown_without_their_descriptions(submission, capsys):
    schema = {"type": "object", "properties": {"topic": {"type": "string", "description": "secret words"}}}
    submission.snapshot(output_schema=schema)
    told = shown(capsys, submission, "--json")
    assert json.loads(told)["plan"]["settings"]["answer_columns"] == ["topic"]
    assert "secret words" not in told


def test_an_older_generation_says_that_a_retry_works_on_the_newest(submission, capsys):
    submission.snapshot()
    folder = submission.folder.folder
    parent = type(folder)(folder.fs, folder.root.rpartition("/")[0], folder.uri.rpartition("/")[0])
    parent.child("g01").write("plan.json", b"{}")
    (step,) = shown_json(capsys, submission)["next"]
    assert step.startswith("g01 is the newest generation")


def test_a_shard_that_a_later_generation_took_over_is_not_said_to_be_sent(submission, emulator, capsys):
    stages.partly_sent(submission, emulator)
    settle_generations(
        [submission.folder],
        submission.hook,
        grace=dt.timedelta(minutes=15),
        try_number=2,
        clock=lambda: dt.datetime.now(dt.UTC),
    )
    told = shown_json(capsys, submission)
    assert [shard["state"] for shard in told["shards"]] == ["batch", "closed", "closed"]
    assert not [step for step in told["next"] if "billed" in step]
    assert "a later generation took the submission over" in shown(capsys, submission)


def test_a_source_without_rows_costs_nothing(submission, capsys):
    submission.snapshot("select * from items where id > 99")
    assert "no rows" in shown_json(capsys, submission)["next"][0]


def test_an_api_that_cannot_be_asked_is_one_line(submission, emulator, capsys):
    stages.published(submission)
    emulator.fail("retrieve", with_="status", status=401, message="invalid x-api-key", times=None)
    assert main(["show", submission.folder.uri, "--live"]) == 1
    told = capsys.readouterr()
    assert "HTTP 401" in told.err
    assert "Nothing was changed" in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize("name", ["", "nothing/here"])
def test_a_folder_without_a_plan_is_refused(tmp_path, name, capsys):
    assert main(["show", f"{tmp_path}/{name}"]) == 1
    assert "holds no finished snapshot" in capsys.readouterr().err


def test_a_record_that_cannot_be_read_is_an_error(submission, capsys):
    submission.snapshot()
    submission.folder.folder.write("r00/batch-00000.json", b"{")
    assert main(["show", submission.folder.uri]) == 1
    assert "batch-00000.json" in capsys.readouterr().err
