"""``claude-batch gc``: remove what of submissions is no longer to be kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.folders import open_staging
from airflow_provider_claude_batch.submission.retention import collect_garbage

if TYPE_CHECKING:
    from argparse import Namespace


def run(given: Namespace) -> int:
    """Say of each submission what was done."""
    root = open_staging(given.staging_path)
    for uri, said in collect_garbage(root, now=datetime.now(UTC), is_dry_run=given.dry_run):
        print(f"{uri}: {said}")
    return 0
