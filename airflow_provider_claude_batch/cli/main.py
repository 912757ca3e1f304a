"""The command ``claude-batch``: what a person does with manifest folders."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.submission.retention import collect_garbage
from airflow_provider_claude_batch.submission.staging import staging_root
from airflow_provider_claude_batch.submission.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :param arguments: Of the command line; by default the process's own.
    :return: Exit code.
    """
    parser = argparse.ArgumentParser(prog="claude-batch", description="Look after Claude batch submissions.")
    commands = parser.add_subparsers(dest="command", required=True)
    gc = commands.add_parser("gc", help="remove request texts that are no longer to be kept")
    gc.add_argument("staging_path", nargs="?", help="staging root; default: the one that is configured")
    gc.add_argument("--dry-run", action="store_true", help="only say what would be done")
    given = parser.parse_args(arguments)
    return _gc(staging_root(given.staging_path), is_dry_run=given.dry_run)


def _gc(root: str, *, is_dry_run: bool) -> int:
    for uri, said in collect_garbage(Folder.at(root), now=datetime.now(UTC), is_dry_run=is_dry_run):
        print(f"{uri}: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
