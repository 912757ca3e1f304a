import datetime as dt

import pytest

from airflow_provider_claude_batch.cli.main import main
from airflow_provider_claude_batch.submission.retention import apply_retention, collect_garbage
from airflow_provider_claude_batch.submission.storage import Folder

IDENTITY = "0123456789abcdef"
KEYS = f"keys-00000-{IDENTITY}.parquet"
REQUESTS = f"requests-00000-{IDENTITY}.jsonl.zst"
RESULTS = "results-00000.parquet"
RECORDS = ["batch-00000.json", f"round-{IDENTITY}.json", "sent-00000.a1.json"]


@pytest.fixture
def landed(submission):
    submission.snapshot()
    submission.send()
    submission.land()
    return submission


def left_of(submission):
    return submission.folder.folder.child("r00").names()


@pytest.mark.parametrize(
    ("retain", "kept"),
    [("everything", [KEYS, REQUESTS, RESULTS]), ("answers", [KEYS, RESULTS]), ("nothing", [])],
)
def test_what_stays_is_what_was_asked_for(landed, retain, kept):
    apply_retention(landed.folder, retain)
    assert left_of(landed) == sorted([*RECORDS, *kept])
    assert apply_retention(landed.folder, retain) == []


def test_results_can_be_published_again_without_the_requests(landed):
    apply_retention(landed.folder, "answers")
    assert landed.publish().num_rows == 5


def test_a_submission_that_was_not_loaded_keeps_all_until_its_days_are_over(landed):
    plan = landed.folder.read_plan()
    root = Folder.at(landed.folder.uri.rpartition("/")[0])
    early = plan.created_at + dt.timedelta(days=plan.retain_failed_days)
    assert list(collect_garbage(root, now=early, is_dry_run=False)) == []
    late = early + dt.timedelta(seconds=1)
    assert [said for _, said in collect_garbage(root, now=late, is_dry_run=True)] == ["would keep nothing"]
    assert KEYS in left_of(landed)
    list(collect_garbage(root, now=late, is_dry_run=False))
    assert left_of(landed) == sorted(RECORDS)


def test_what_cannot_be_read_is_left_alone(landed):
    landed.folder.folder.write("plan.json", b"{")
    root = Folder.at(landed.folder.uri.rpartition("/")[0])
    ((_, said),) = collect_garbage(root, now=dt.datetime.now(dt.UTC), is_dry_run=False)
    assert said.startswith("left alone")
    assert REQUESTS in left_of(landed)


def test_the_command_says_what_it_did(landed, capsys):
    landed.folder.folder.write("receipt.json", b"{}")
    assert main(["gc", landed.folder.uri.rpartition("/")[0]]) == 0
    assert "kept answers, removed 1 files" in capsys.readouterr().out
    assert REQUESTS not in left_of(landed)
