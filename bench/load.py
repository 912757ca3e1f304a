"""
What a load costs: the results of ended batches from the HTTP stream to the published Parquet.

Ours reads the stream, joins the keys, checks and types the answers, counts the costs, lands every shard in
the manifest folder and publishes all rows to a destination. The rivals do less, which is printed too.

Every case runs in a process of its own; rounds go through all cases, and the medians of the rounds are
printed, ratios first: of seconds, and of the seconds of all cores together, which other work on the machine
changes less. Batches are served from ready files by a small server of its own, :mod:`.loading.server`. Run as
``python -m bench.load``, with ``--lines`` for less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_claude_batch.submission.publish import OBJECT_NAME
from bench.loading.lines import SHARD_REQUESTS, batch_id, round_of, write_keys, write_results

if TYPE_CHECKING:
    from collections.abc import Iterator

Measured = dict[str, float]

_ROOT = Path(__file__).parents[1]
_PEERS = _ROOT / ".bench" / "peers" / "venv" / "bin" / "python"
_WITHOUT_DECIMALS = 100
_SUMMED = ("claude_input_tokens", "claude_output_tokens", "score")

_SDK, _DUCKDB, _LLM_BATCH = "the SDK's results()", "DuckDB's automatic reader", "LLMBatchOperator's landing"
_NOTES = f"""\
What each case does:
  ours: HTTP, keys joined, answers checked and typed, costs, landed in the manifest folder, published, synced
  {_SDK}: HTTP, keys joined, answers typed but not checked, no costs, Parquet written once
  {_DUCKDB}: a local file as it is to Parquet; no HTTP, keys, typed answers, checks or costs
  {_LLM_BATCH}: HTTP, answers as they are, JSONL"""


@dataclass(frozen=True, slots=True)
class Bench:
    """
    What the cases run on.

    :param lines: Of the large case; what is held against it gets one batch of them.
    :param peers: Python of an environment with the peers, or one that is not there.
    """

    lines: int
    scratch: Path
    peers: Path
    url: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def few(self) -> int:
        """Return the lines of one batch."""
        return min(self.lines, SHARD_REQUESTS)

    @property
    def folder(self) -> Path:
        """Return the manifest folder."""
        return self.scratch / "manifest"

    def load(self, case: str, lines: int) -> Measured:
        """Run one of our own cases."""
        return self.run(case, lines, self.folder, self.scratch / case)

    def run(self, case: str, *arguments: object, python: Path | str = sys.executable) -> Measured:
        """Run one case of :mod:`.loading.cases` in a process of its own."""
        command = [str(python), "-m", "bench.loading.cases", case, *map(str, arguments)]
        done = subprocess.run(  # noqa: S603
            command, check=True, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=self.environment
        )
        measured: Measured = json.loads(done.stdout.splitlines()[-1])
        seconds, cpu, megabytes = (measured[name] for name in ("seconds", "cpu_seconds", "extra_megabytes"))
        print(f"  {case:<14} {seconds:7.2f} s {cpu:7.2f} s of all cores {megabytes:6.0f} MB", flush=True)
        return measured


def main() -> None:
    """Prepare the results, run all rounds and print the medians."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="claude_batch_bench_") as name:
        scratch = Path(name)
        print(f"Preparing {options.lines:,} lines", flush=True)
        write_results(scratch, lines=options.lines)
        write_keys(scratch / "manifest", lines=options.lines)
        with _server(scratch, options.lines) as url:
            connection = {"conn_type": "anthropic", "password": "sk-ant-bench", "host": url}
            environment = {
                **os.environ,
                "AIRFLOW_HOME": str(scratch / "airflow"),
                "AIRFLOW_CONN_ANTHROPIC_DEFAULT": json.dumps(connection),
            }
            bench = Bench(options.lines, scratch, options.peers, url, environment)
            if not bench.peers.exists():
                print(f"{bench.peers} is not there (make bench-peers makes it): LLMBatchOperator is left out")
            rounds = []
            for number in range(options.rounds):
                print(f"Round {number + 1} of {options.rounds}", flush=True)
                rounds.append(_lines(_round(bench), bench))
    _print_table(rounds, bench)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a load, from the result lines to Parquet.")
    parser.add_argument("--lines", "--requests", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=_PEERS, help="Python that has the peers installed")
    return parser.parse_known_args()[0]


@contextmanager
def _server(folder: Path, lines: int) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.loading.server", str(folder), str(lines)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:  # noqa: S603
        try:
            assert process.stdout is not None  # noqa: S101
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def _round(bench: Bench) -> dict[str, Measured]:
    few = bench.few
    cases = {"floor": bench.run("read_bytes", few), "ours": bench.load("load", few)}
    ours = _sums(bench.scratch / "load" / OBJECT_NAME)
    cases["content"] = bench.load("load_content", few)
    parquet = bench.scratch / "sdk.parquet"
    cases[_SDK] = bench.run("sdk", few, bench.folder, parquet)
    if _sums(parquet) != ours:
        raise AssertionError(f"the SDK's Parquet says {_sums(parquet)} and ours {ours}")
    results = bench.scratch / f"{batch_id(0)}.jsonl"
    cases[_DUCKDB] = bench.run("duckdb", results, bench.scratch / "duckdb.parquet")
    if bench.peers.exists():
        cases[_LLM_BATCH] = bench.run("llm_batch", few, bench.scratch, bench.url, python=bench.peers)
    cases["many"] = bench.load("load", bench.lines)
    return cases


def _sums(parquet: Path) -> list[object]:
    """Return the rows of the first batch's Parquet, its outcomes, and sums that show a wrong join or type."""
    table = pq.read_table(parquet, columns=["id", "claude_outcome", *_SUMMED])
    outcomes = sorted(map(str, pc.value_counts(table["claude_outcome"]).to_pylist()))
    sums = [round(pc.sum(pc.multiply(table[name], table["id"])).as_py()) for name in _SUMMED]
    return [table.num_rows, outcomes, *sums]


def _lines(cases: dict[str, Measured], bench: Bench) -> dict[str, float]:
    """Return what is printed of one round: ratios, then memory, then rates."""
    ours, many, floor = cases["ours"], cases["many"], cases["floor"]
    small, large = (f"{lines:,} lines" for lines in (bench.few, bench.lines))
    rivals = {name: cases[name] for name in (_SDK, _DUCKDB, _LLM_BATCH) if name in cases}
    lines: dict[str, float] = {}
    for name, rival in rivals.items():
        lines[f"as fast as {name}, times"] = rival["seconds"] / ours["seconds"]
        lines[f"  in seconds of all cores: {name}"] = rival["cpu_seconds"] / ours["cpu_seconds"]
    lines["seconds / reading the bytes"] = ours["seconds"] / floor["seconds"]
    lines["seconds with the content blocks / without"] = cases["content"]["seconds"] / ours["seconds"]
    megabytes = {small: ours, large: many, "with the content blocks": cases["content"], **rivals}
    lines |= {
        f"memory, {name}, MB above idle": measured["extra_megabytes"] for name, measured in megabytes.items()
    }
    lines["memory, the idle process itself, MB"] = ours["idle_megabytes"]
    lines[f"{small}, rows/s"] = bench.few / ours["seconds"]
    lines[f"{large}, rows/s"] = bench.lines / many["seconds"]
    lines |= {f"{name}, rows/s": bench.few / rival["seconds"] for name, rival in rivals.items()}
    lines[f"{small}, seconds of all cores"] = ours["cpu_seconds"]
    lines |= {f"{name}, seconds of all cores": rival["cpu_seconds"] for name, rival in rivals.items()}
    lines["reading the bytes, MB/s"] = floor["megabytes"] / floor["seconds"]
    return lines


def _print_table(rounds: list[dict[str, float]], bench: Bench) -> None:
    shards = len(round_of(bench.lines).shards)
    print(f"{bench.lines:,} lines in {shards} batches; median of {len(rounds)} rounds, lowest and highest")
    for line in rounds[0]:
        values = [one[line] for one in rounds]
        digits = 2 if statistics.median(values) < _WITHOUT_DECIMALS else 0
        median, low, high = (
            f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))
        )
        print(f"{line:<66} {median:>9} {low:>9} {high:>9}")
    print(_NOTES)


if __name__ == "__main__":
    main()
