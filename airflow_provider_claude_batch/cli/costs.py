"""``claude-batch costs``: what was spent, on what, and how it changed. From the receipts; asks nobody."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from airflow_provider_claude_batch.cli.folders import open_staging
from airflow_provider_claude_batch.cli.text import print_json, to_table
from airflow_provider_claude_batch.core.costs import (
    GROUPS,
    GroupBy,
    Spending,
    latest_receipts,
    sum_costs,
    total_of,
)
from airflow_provider_claude_batch.core.estimate import short_count, to_usd
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.submission.receipts import read_receipts

if TYPE_CHECKING:
    from argparse import Namespace
    from decimal import Decimal

_NUMBERS = ("SUBMISSIONS", "ROWS", "FAILED", "TOKENS IN", "CACHED", "OUT", "COST", "PER 1,000 ROWS")
_BEFORE = ("BEFORE", "CHANGE")


def run(given: Namespace) -> int:
    """Print a line for each group and their sum; 1 where a receipt could not be read."""
    by = _groups(given.by)
    if given.since < 1:
        raise ClaudeBatchInputError(f"--since {given.since}: takes days, 1 or more; 1 is today")
    root = open_staging(given.staging_path)
    since = datetime.now(UTC).date() - timedelta(days=given.since - 1)
    unreadable: list[str] = []
    receipts = read_receipts(
        root,
        since=since - timedelta(days=given.since),
        on_unreadable=lambda error: unreadable.append(str(error)),
    )
    lines = sum_costs(latest_receipts(receipts), by=by, since=since)
    if given.is_json:
        print_json({"since": since, "lines": lines, "total": total_of(lines)})
    elif lines:
        _print_table(lines, by)
    else:
        print(f"There are no receipts under {root.uri} since {since}.")
    for error in unreadable:
        print(f"left out: {error}", file=sys.stderr)
    return 1 if unreadable else 0


def _groups(text: str) -> list[GroupBy]:
    groups = [group.strip() for group in text.split(",") if group.strip()]
    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        raise ClaudeBatchInputError(f"--by {text}: takes {', '.join(GROUPS)}, with commas between them")
    return cast("list[GroupBy]", list(dict.fromkeys(groups)))


def _print_table(lines: list[Spending], by: list[GroupBy]) -> None:
    total = total_of(lines)
    headings = [*(group.upper() for group in by), *_NUMBERS]
    if total.before_usd is not None:
        headings += _BEFORE
    rows = [
        headings,
        *([*line.by.values(), *_to_cells(line)] for line in lines),
        ["total", *[""] * (len(by) - 1), *_to_cells(total)],
    ]
    print(*to_table(rows, numbers=frozenset(range(len(by), len(headings)))), sep="\n")


def _to_cells(line: Spending) -> list[str]:
    cells = [
        f"{line.submissions:,}",
        f"{line.rows:,}",
        f"{100 * line.failed_rows / line.rows:.1f} %" if line.rows else "-",
        short_count(line.prompt_tokens),
        f"{100 * line.cached_tokens / line.prompt_tokens:.0f} %" if line.prompt_tokens else "-",
        short_count(line.output_tokens),
        to_usd(line.cost_usd) + (" + ?" if line.unpriced else ""),
        to_usd(1_000 * line.cost_usd / line.rows) if line.rows and not line.unpriced else "-",
    ]
    if line.before_usd is not None:
        cells += [to_usd(line.before_usd), _change(line.cost_usd, line.before_usd)]
    return cells


def _change(now: Decimal, before: Decimal) -> str:
    return f"{100 * (now - before) / before:+.0f} %" if before else "new"
