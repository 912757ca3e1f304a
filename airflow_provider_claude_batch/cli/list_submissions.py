"""``claude-batch list``: one line a submission."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.folders import open_staging
from airflow_provider_claude_batch.cli.submissions import Submission, find_submissions
from airflow_provider_claude_batch.cli.text import print_json, to_table, to_time

if TYPE_CHECKING:
    from argparse import Namespace

_HEADING = (
    "DAG",
    "RUN",
    "TASK",
    "GENERATION",
    "SNAPSHOT",
    "ROWS",
    "SHARDS",
    "BATCHES",
    "NO ANSWER",
    "NOT SENT",
    "STATE",
    "MANIFEST",
)
_NUMBERS = frozenset(range(5, 10))


def run(given: Namespace) -> int:
    """Print the submissions, newest first; one whose snapshot is not whole comes before all others."""
    root = open_staging(given.staging_path)
    oldest = datetime.now(UTC) - timedelta(days=given.since) if given.since is not None else None
    found = [
        submission
        for submission in find_submissions(root, dag_id=given.dag_id)
        if not (given.is_open and submission.is_published)
        and not (oldest and submission.created_at and submission.created_at < oldest)
    ]
    found.sort(key=lambda submission: submission.created_at or datetime.max.replace(tzinfo=UTC), reverse=True)
    if given.is_json:
        print_json(found)
    elif found:
        print(*to_table([_HEADING, *map(_to_cells, found)], numbers=_NUMBERS), sep="\n")
    else:
        print(f"There are no such submissions under {root.uri}.")
    return 0


def _to_cells(submission: Submission) -> tuple[object, ...]:
    name = submission.name
    return (
        name.dag_id,
        name.run_id,
        name.task_id + (f"[{name.map_index}]" if name.map_index >= 0 else ""),
        f"g{name.generation:02d}",
        to_time(submission.created_at),
        f"{submission.rows:,}" if submission.rows is not None else "-",
        submission.shards if submission.shards is not None else "-",
        submission.batches,
        submission.unanswered,
        submission.unsent,
        _state(submission),
        submission.manifest,
    )


def _state(submission: Submission) -> str:
    if submission.problem is not None:
        return "unreadable"
    if submission.created_at is None:
        return "no snapshot"
    return "published" if submission.is_published else "open"
