"""docs/cli.md shows what the commands print. ``WRITE_DOCS=1`` writes their output into it."""

import contextlib
import datetime as dt
import io
import os
import re
from pathlib import Path

import pytest

from airflow_provider_claude_batch.cli.main import main
from airflow_provider_claude_batch.core.manifest import Receipt
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.receipt import write_receipt
from airflow_provider_claude_batch.submission.staging import TaskInstanceId, submission_folder
from tests.cli import stages
from tests.provider.submitting import Submission
from tests.receipts import receipt

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
STAGING = "/data/claude_batch"
RUN = "manual__2026-11-22T10:00:00+00:00"

_BLOCK = re.compile(r"```console\n(\$ claude-batch .*?)```", re.DOTALL)
_MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "TIME"),
    (re.compile(r"msgbatch_\w+"), "BATCH"),
    (re.compile(r"\d+ of 1,000 calls"), "CALLS"),
    (re.compile(r"\d+ models, \d+ of them"), "MODELS"),
    (re.compile(r"digest [0-9a-f]{32}"), "DIGEST"),
    (re.compile(r"[\d.]+ kB"), "SIZE"),
)


def masked(text):
    """Return ``text`` without what is another at every run."""
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return text


@pytest.fixture
def other(submission, staging, tmp_path):
    """Another submission, which was published."""
    instance = TaskInstanceId(dag_id="translate", run_id=RUN, task_id="submit", map_index=3)
    folder = ManifestFolder(submission_folder(str(staging), instance).child("g00"))
    translated = Submission(folder, tmp_path / "translated", submission.hook)
    batch_ids = stages.published(translated)
    receipt = Receipt(
        dag_id=instance.dag_id,
        run_id=instance.run_id,
        task_id=instance.task_id,
        map_index=3,
        identity="0123456789abcdef",
        model="claude-haiku-5-5",
        batch_ids=batch_ids,
        rows=5,
        outcomes={"ok": 5},
        tokens={},
        created_at=dt.datetime.now(dt.UTC),
        published_at=dt.datetime.now(dt.UTC),
        files=["s3://lake/translated/data.parquet"],
    )
    folder.write_receipt(receipt)
    return translated


@pytest.fixture
def run(staging, monkeypatch):
    """Run a command and return it as a person sees it, with what they answer."""
    shown = []

    def run_command(command, *, answer=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
        with contextlib.redirect_stdout(io.StringIO()) as out:
            main([word.replace(STAGING, str(staging)) for word in command.split()])
        printed = out.getvalue().replace(str(staging), STAGING)
        if answer:
            printed = printed.replace("[y/N] ", f"[y/N] {answer}\n")
        shown.append(f"$ claude-batch {command}\n{printed}")
        return printed

    run_command.shown = shown
    return run_command


@pytest.fixture
def months(staging, tmp_path):
    """Receipts of two months, as loads write them."""
    now = dt.datetime.now(dt.UTC)
    tokens = {"input": 8_100_000, "cache_read": 51_000_000, "cache_write_1h": 2_000_000, "output": 11_900_000}
    for each in (
        receipt("a" * 16, now=now, rows=98_214, outcomes={"ok": 97_800}, tokens=tokens, cost_usd="4.04"),
        receipt("b" * 16, now=now, days_ago=1, rows=96_002, outcomes={"ok": 95_900}, cost_usd="3.91"),
        receipt("c" * 16, now=now, days_ago=32, rows=51_000, outcomes={"ok": 50_990}, cost_usd="5.25"),
        receipt("d" * 16, now=now, dag_id="translate", model="claude-opus-5-5", cost_usd="0.42"),
    ):
        write_receipt(ManifestFolder.at(str(tmp_path / each.identity)), each, staging_root=str(staging))


def test_the_page_shows_what_the_commands_print(run, submission, emulator, other, months):
    emulator.settings(seconds_per_batch=3600)
    manifest = f"{STAGING}/label/{RUN.replace(':', '~3A')}/submit/g00"
    lost = stages.answer_lost(submission, shard=1)[1]
    run(f"list {STAGING}")
    run(f"show {manifest}")
    run(f"show {manifest} --live")
    run(f"cancel {manifest}", answer="n")
    emulator.advance(3601)
    run(f"adopt {manifest} 1 {lost}", answer="y")
    emulator.set_time(dt.datetime.now(dt.UTC).timestamp())
    run(f"doctor --staging-path {STAGING}")
    run(f"costs {STAGING}")
    run(f"gc {STAGING} --dry-run")
    text = DOCUMENT.read_text()
    if "WRITE_DOCS" in os.environ:
        blocks = iter(run.shown)
        text = _BLOCK.sub(lambda _: f"```console\n{next(blocks)}```", text)
        DOCUMENT.write_text(text)
    assert [masked(block) for block in _BLOCK.findall(text)] == [masked(block) for block in run.shown]
