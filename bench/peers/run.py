"""
Play every scenario with every pipeline, time them, and write the table.

Run by :mod:`bench.peers` in the environment that holds the peers: ``python -m bench.peers`` with the same
options.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers import report
from bench.peers.dag_setup import DagSetup
from bench.peers.pipelines import ANTHROPIC_BATCH_ONCE, PIPELINES
from bench.peers.play import Outcome, play
from bench.peers.scenarios import SCENARIOS, SPEED
from bench.peers.speed import Timed, time_run
from bench.peers.world import ROOT, World, make_warehouse, running

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> None:
    """Run everything that the options ask for."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    folder = ROOT / ".bench" / "peers" / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_warehouse(
        folder / "warehouse.duckdb", rows=options.rows, many_rows=options.many_rows, seed=options.seed
    )
    chosen = [
        pipeline for pipeline in PIPELINES if not options.pipelines or pipeline.name in options.pipelines
    ]
    scenarios = [
        [DagSetup(pipeline, scenario, folder) for pipeline in chosen]
        for scenario in SCENARIOS
        if not options.scenarios or scenario.name in options.scenarios
    ]
    # What runs without a fault is the same with and without retries.
    speed = [DagSetup(pipeline, SPEED, folder) for pipeline in chosen if pipeline != ANTHROPIC_BATCH_ONCE]
    with ExitStack() as stack:
        everything = [setup for setups in (*scenarios, speed) for setup in setups]
        world = stack.enter_context(running(folder, everything))
        outcomes = _play_all(world, scenarios, rows=options.rows)
        timed = _time_all(world, speed, rounds=options.rounds)
    text = _text(outcomes, timed, options)
    print(text)
    if not (options.scenarios or options.pipelines):
        _RESULTS.write_text(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description="Compare with the official operators."
    )
    parser.add_argument("--rows", type=int, default=20, help="of each scenario")
    parser.add_argument("--many-rows", type=int, default=2_000, help="of the runs that are timed")
    parser.add_argument("--rounds", type=int, default=3, help="of the runs that are timed")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--scenarios", nargs="*", help="names; then nothing is written")
    parser.add_argument("--pipelines", nargs="*", help="names; then nothing is written")
    return parser.parse_args()


def _play_all(world: World, scenarios: Sequence[Sequence[DagSetup]], *, rows: int) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for setups in scenarios:
        print(f"== {setups[0].scenario.title}", flush=True)
        played = play(world, setups)
        print("\n".join(report.scenario_table(played, rows=rows)), flush=True)
        outcomes += played
    return outcomes


def _time_all(world: World, speed: Sequence[DagSetup], *, rounds: int) -> list[Timed]:
    timed = []
    for number in range(rounds):
        print(f"== speed, round {number + 1} of {rounds}", flush=True)
        timed += [time_run(world, setup) for setup in speed]
    return timed


def _text(outcomes: Sequence[Outcome], timed: Sequence[Timed], options: argparse.Namespace) -> str:
    lines = [
        report.introduction(rows=options.rows, seed=options.seed),
        *report.total_table(outcomes, rows=options.rows),
        "",
        *report.scenario_table(outcomes, rows=options.rows),
        "",
    ]
    if not timed:
        return "\n".join(lines)
    lines += [
        f"## {options.many_rows:,} rows without a fault",
        "",
        f"From the table to the file, {options.rounds} runs of each, in turn, on {os.cpu_count()} cores with "
        f"a load of {os.getloadavg()[2]:.1f}; a batch takes {SPEED.seconds_per_batch:g} s.",
        "",
        *report.speed_table(timed),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
