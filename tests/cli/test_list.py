import json

import pytest

from airflow_provider_claude_batch.cli.folders import path_to_name
from airflow_provider_claude_batch.cli.main import main
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.names import safe_segment
from airflow_provider_claude_batch.submission.staging import TaskInstanceId, submission_folder
from tests.cli import stages
from tests.provider.submitting import Submission


def listed(capsys, *arguments):
    assert main(["list", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_submission_is_one_line_with_what_became_of_its_shards(submission, staging, capsys):
    stages.answer_lost(submission, shard=1)
    assert main(["list", str(staging)]) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "DAG"
    cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
    assert cells == [
        "label",
        "manual__2026-11-22T10:00:00+00:00",
        "submit",
        "g00",
        "2026-11-22 00:00:00Z",
        "5",
        "3",
        "2",
        "1",
        "0",
        "open",
        submission.folder.uri,
    ]


def test_shards_that_were_refused_or_not_reached_are_not_sent(submission, emulator, staging, capsys):
    stages.partly_sent(submission, emulator)
    (found,) = listed(capsys, staging)
    assert (found["shards"], found["batches"], found["unanswered"], found["unsent"]) == (3, 1, 0, 2)


def test_only_what_is_not_published_is_open(submission, staging, capsys):
    submission.snapshot()
    submission.send()
    submission.land()
    assert len(listed(capsys, staging, "--open")) == 1
    submission.publish()
    assert listed(capsys, staging, "--open") == []
    assert listed(capsys, staging)[0]["is_published"] is True


def test_old_snapshots_can_be_left_out(submission, staging, capsys):
    submission.snapshot()
    assert listed(capsys, staging, "--since", "0") == []
    assert len(listed(capsys, staging, "--since", "100000")) == 1


def test_one_dag_can_be_asked_for(submission, staging, capsys):
    submission.snapshot()
    assert len(listed(capsys, staging, "--dag-id", "label")) == 1
    assert listed(capsys, staging, "--dag-id", "lab") == []


def test_a_snapshot_that_is_not_whole_is_listed(submission, staging, capsys):
    submission.snapshot()
    submission.folder.folder.remove("plan.json")
    (found,) = listed(capsys, staging)
    assert found["created_at"] is None
    assert main(["list", str(staging)]) == 0
    assert "no snapshot" in capsys.readouterr().out


def test_what_cannot_be_read_is_named_and_does_not_hide_the_rest(submission, staging, capsys):
    submission.snapshot()
    other = submission_folder(str(staging), TaskInstanceId(dag_id="a", run_id="b", task_id="c"))
    other.child("g00").write("plan.json", b"{")
    by_dag = {found["name"]["dag_id"]: found for found in listed(capsys, staging)}
    assert "plan.json" in by_dag["a"]["problem"]
    assert by_dag["label"]["problem"] is None


def test_nothing_found_is_said(tmp_path, capsys):
    assert main(["list", str(tmp_path)]) == 0
    assert str(tmp_path) in capsys.readouterr().out


def test_an_object_store_is_listed_with_uris_that_show_takes(submission, s3, capsys):
    instance = TaskInstanceId(dag_id="label", run_id="a:b", task_id="submit", map_index=2)
    folder = submission_folder(f"{s3}@lake/staging", instance).child("g00")
    stored = Submission(ManifestFolder(folder), submission.destination, submission.hook)
    stored.snapshot()
    stored.send()
    (found,) = listed(capsys, f"{s3}@lake/staging")
    assert (found["name"]["map_index"], found["batches"]) == (2, 1)
    assert main(["show", found["manifest"], "--live"]) == 0


def test_receipts_by_day_are_no_submissions(submission, staging, capsys):
    submission.snapshot()
    (staging / "_receipts" / "day=2026-11-22").mkdir(parents=True)
    (staging / "_receipts" / "day=2026-11-22" / "0123456789abcdef.json").write_bytes(b"{}")
    assert len(listed(capsys, staging)) == 1


@pytest.mark.parametrize(
    ("run_id", "shown"),
    [
        ("scheduled__2026-11-22T10:00:00+00:00", "scheduled__2026-11-22T10:00:00+00:00"),
        ("naïve \U0001f600/..", "naïve \U0001f600/.."),
        ("~2F", "~2F"),
        ("x" * 200, "x" * 103 + "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_names_are_shown_as_they_are_in_airflow(run_id, shown):
    name = path_to_name(f"s3://conn@bucket/root/dag/{safe_segment(run_id)}/group.task/7/g03")
    assert (name.dag_id, name.run_id, name.task_id) == ("dag", shown, "group.task")
    assert (name.map_index, name.generation) == (7, 3)


def test_a_staging_path_of_an_unknown_scheme_is_one_line_and_no_traceback(capsys):
    assert main(["list", "nosuch://x/y"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("claude-batch list: staging path nosuch://x/y cannot be opened")
    assert "Traceback" not in told.err
