"""
What waiting costs: ticks of the poller with many waits, and a real triggerer with hundreds of deferred tasks.

The poller alone takes half a minute: ``python -m bench.waiting``. With ``--deferred 500`` a triggerer gets
that many sensors, whose batches end one after the other, then as many bare triggers, whose batches end at
once, and as many waits for a file; with ``--peers 300`` the official providers' triggers too, in the
environment that :mod:`bench.peers` makes for them. All together take an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import psutil

from airflow_provider_claude_batch.emulator import EmulatorProcess
from bench.peers import environment
from bench.waiters.batches import create_batches

_ROOT = Path(__file__).parents[1]
#: It is to list batches that do not end.
_EMULATOR = ("--seconds-per-batch=86000", "--tier=scale")
_LLM_BATCH = "airflow.providers.common.ai.triggers.llm_batch"


def main() -> None:
    """Measure the poller by itself, then triggerers."""
    options = _options()
    if options.peers and not _is_installed(_LLM_BATCH):
        sys.exit(environment.make() or environment.run("-m", "bench.waiting", *sys.argv[1:]))
    _bench_poller(options.waits, most_batches=options.batches)
    counts = {
        "ClaudeBatchSensor": options.deferred,
        "ClaudeBatchTrigger": options.deferred,
        "FileTrigger": options.deferred,
        "AnthropicBatchTrigger": options.peers,
        "LLMBatchTrigger": options.peers,
    }
    for kind, waits in counts.items():
        if waits and kind in (options.kinds or counts):
            _bench_triggerer(kind, waits, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what waiting costs.")
    parser.add_argument("--waits", type=int, nargs="*", default=[1, 100, 1_000, 10_000], help="on one poller")
    parser.add_argument("--batches", type=int, default=1_000, help="that these waits share at most")
    parser.add_argument("--deferred", type=int, default=0, help="tasks in a real triggerer")
    parser.add_argument("--peers", type=int, default=0, help="tasks with each of the official triggers")
    parser.add_argument("--kinds", nargs="*", help="only these, by name")
    parser.add_argument("--dags", type=int, default=10)
    parser.add_argument("--poll-seconds", type=float, default=10)
    parser.add_argument("--spread-seconds", type=float, default=300, help="over which batches of sensors end")
    return parser.parse_known_args()[0]


def _bench_poller(counts: list[int], *, most_batches: int) -> None:
    head = ("waits on one poller", "batches", "calls a tick", "tick, ms", "CPU, ms", "MB", "all leave, s")
    print(" ".join(f"{name:>12}" for name in head))
    with EmulatorProcess(arguments=_EMULATOR) as emulator:
        batch_ids = create_batches(emulator.url, min(most_batches, max(counts, default=0)))
        for waits in counts:
            some = batch_ids[-waits:]
            figures = (len(some), *_run_poller(waits, some, emulator.url).values())
            print(f"{waits:>19,} " + " ".join(f"{figure:>12,.1f}" for figure in figures), flush=True)


def _run_poller(waits: int, batch_ids: list[str], url: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.waiters.poller", str(waits), url]
    case = psutil.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
    printed, _ = case.communicate(json.dumps(batch_ids))
    if case.returncode:
        raise RuntimeError(f"{waits} waits ended with code {case.returncode}")
    measured: dict[str, float] = json.loads(printed.splitlines()[-1])
    return measured


def _bench_triggerer(kind: str, waits: int, options: argparse.Namespace) -> None:
    # Needs Airflow and PostgreSQL, which the poller does not.
    from bench.waiters.triggerer import measure_triggerer
    from bench.waiters.world import Load

    spread = options.spread_seconds if kind == "ClaudeBatchSensor" else 0.0
    print(f"{waits} waits in a triggerer, {kind}; the machine's load is {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="claude_batch_bench_") as name:
        load = Load(kind, waits, dags=options.dags, poll_seconds=options.poll_seconds, spread_seconds=spread)
        for what, value in measure_triggerer(load, Path(name)).items():
            print(f"  {what:<46} {value:>9,.2f}", flush=True)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    main()
