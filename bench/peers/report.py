"""The Markdown that the comparison writes."""

from __future__ import annotations

import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING

from bench.peers.dag_setup import DEFAULT_ARGS, POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.peers.play import Outcome
    from bench.peers.speed import Timed

_PACKAGES = (
    "airflow-provider-claude-batch",
    "apache-airflow-core",
    "apache-airflow-providers-anthropic",
    "apache-airflow-providers-common-ai",
    "anthropic",
)

_INTRODUCTION = """\
# The same faults with the official operators

Written by `python -m bench.peers` on {now}, seed {seed}, with {versions}, Python {python}.

Each line is a Dag run of a real Airflow (LocalExecutor, PostgreSQL) with {rows} rows from a DuckDB table,
against an emulator of its own. What happens to it happens once. Tasks have `retries={retries}` unless the
line says otherwise; every pipeline polls each {poll_seconds} s, also `LLMBatchOperator`, which by itself
allows no less than 30. `AnthropicBatchOperator` writes no results: a task that streams them to JSONL by
`AnthropicHook.stream_batch_results`, as its documentation advises, stands behind it.

*paid* are answers that were billed once every batch had ended, *twice* those of them for a row that was paid
already, *in file* unique rows in the output, *answered* those of them with an answer.
"""


def introduction(*, rows: int, seed: int) -> str:
    """Return what was run, on what and when."""
    return _INTRODUCTION.format(
        now=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        seed=seed,
        versions=", ".join(f"{package} {version(package)}" for package in _PACKAGES),
        python=platform.python_version(),
        rows=rows,
        retries=DEFAULT_ARGS["retries"],
        poll_seconds=POLL_SECONDS,
    )


def scenario_table(outcomes: Iterable[Outcome], *, rows: int) -> Iterator[str]:
    """Yield a table with a line for each run."""
    yield "| what happens | pipeline | run | batches | paid | twice | in file | answered |"
    yield "|---|---|---|--:|--:|--:|--:|--:|"
    for title, group in groupby(outcomes, key=lambda outcome: outcome.setup.scenario.title):
        for place, outcome in enumerate(group):
            cells = [
                "" if place else title,
                outcome.setup.pipeline.title,
                outcome.state if outcome.is_struck else f"{outcome.state}; it did not happen",
                outcome.batches,
                outcome.rows_paid,
                _bold_unless(outcome.paid_again, 0),
                _bold_unless(outcome.landed.in_file, rows),
                _bold_unless(outcome.landed.answered, rows),
            ]
            yield f"| {' | '.join(str(cell) for cell in cells)} |"


def total_table(outcomes: Sequence[Outcome], *, rows: int) -> Iterator[str]:
    """Yield a table with a line for each pipeline."""
    yield "| pipeline | scenarios | run failed | rows paid twice | rows without an answer in the file |"
    yield "|---|--:|--:|--:|--:|"
    for title in dict.fromkeys(outcome.setup.pipeline.title for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.setup.pipeline.title == title]
        failed = sum(outcome.state != "success" for outcome in own)
        again = sum(outcome.paid_again for outcome in own)
        lost = sum(rows - outcome.landed.answered for outcome in own)
        yield f"| {title} | {len(own)} | {failed} | {again} | {lost} |"


def speed_table(timed: Sequence[Timed]) -> Iterator[str]:
    """Yield a table with a line for each pipeline, medians of its runs."""
    yield "| pipeline | seconds, median | least to most | peak of a task process, MB | answered |"
    yield "|---|--:|--:|--:|--:|"
    for title in dict.fromkeys(run.setup.pipeline.title for run in timed):
        own = [run for run in timed if run.setup.pipeline.title == title]
        seconds = [run.seconds for run in own]
        peak = statistics.median(run.peak_megabytes for run in own)
        answered = min(run.rows for run in own)
        yield (
            f"| {title} | {statistics.median(seconds):.1f} | {min(seconds):.1f} to {max(seconds):.1f} "
            f"| {peak:.0f} | {answered} |"
        )


def _bold_unless(number: int, expected: int) -> str:
    return str(number) if number == expected else f"**{number}**"
