"""
What it brings to write the prompt cache first: hit rates and dollars of the same rows with and without.

Each submission goes through our own snapshot and send to the emulator, whose model of the prompt cache bills
it. Here that model also knows concurrency: what a request writes can be read when its answer begins, and all
that start before then write for themselves. https://platform.claude.com/docs/en/build-with-claude/
prompt-caching#cache-limitations, read 2026-11-22. Run as ``python -m bench.priming``, with ``--requests`` for
less.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import os
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_claude_batch.emulator import EmulatorClient
from airflow_provider_claude_batch.emulator.server import Emulation
from airflow_provider_claude_batch.emulator.settings import Settings
from airflow_provider_claude_batch.emulator.usage import InputUsage, PromptCache

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
_MODEL = "claude-haiku-5-5"
_SYSTEM = "Say which of the topics a text is about, by the rules that follow. " * 120
_TEXT = "A sentence of a review that is neither short nor long. " * 6
_MAX_TOKENS = 40
#: From the start of a request to the first token of its answer.
_ANSWER_SECONDS = 15.0
#: A wait looks once a minute at the most.
_POLL_SECONDS = 60.0
#: How long a whole batch takes: the shorter, the more of it runs at once.
_BATCH_SECONDS = (20.0, 60.0, 600.0)


class ConcurrentCache(PromptCache):
    """
    The emulator's prompt cache, where a prefix can be read only from the beginning of an answer on.

    :param answer_seconds: From a write to then.
    """

    def __init__(self, answer_seconds: float) -> None:
        super().__init__()
        self._answer_seconds = answer_seconds
        self._readable_at: dict[str, float] = {}

    def use(self, params: dict[str, Any], *, scope: str, now: float, misses: bool = False) -> InputUsage:
        """Count a prompt; it misses what is still being written."""
        prefix = f"{scope} {params.get('system')}"
        is_early = now < self._readable_at.get(prefix, 0.0)
        usage = super().use(params, scope=scope, now=now, misses=misses or is_early)
        if usage.cache_creation_1h_tokens and not is_early:
            self._readable_at[prefix] = now + self._answer_seconds
        return usage


@dataclass(frozen=True, slots=True)
class Bill:
    """
    What a submission came to.

    :param hit_rate: Cache reads as a share of cache reads and writes, in tokens.
    """

    hit_rate: float
    cost_usd: Decimal


def main() -> None:
    """Run all submissions and print one table."""
    options = _options()
    rows, answer = options.requests, options.answer_seconds
    print(f"{rows:,} requests to {_MODEL} with a system prompt of {len(_SYSTEM):,} bytes, one batch;")
    print(f"an answer begins after {answer:g} s; cost in dollars, and as a share of that without a cache")
    head = ("batch takes, s", "no cache", "not primed: hits", "cost", "", "primed: hits", "cost", "")
    widths = (14, 10, 17, 9, 6, 13, 9, 6)
    print(" ".join(f"{name:>{width}}" for name, width in zip(head, widths, strict=True)))
    with _airflow_home():
        for seconds in options.batch_seconds:
            none, plain, primed = (
                _submit(rows, seconds, answer, cache_ttl=ttl, primes=primes)
                for ttl, primes in ((None, False), ("1h", False), ("1h", True))
            )
            cells = [f"{seconds:g}", f"{none.cost_usd:.4f}"]
            for bill in (plain, primed):
                share = f"{bill.cost_usd / none.cost_usd:.0%}"
                cells += [f"{bill.hit_rate:.1%}", f"{bill.cost_usd:.4f}", share]
            print(" ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what it brings to write the prompt cache first.")
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--answer-seconds", type=float, default=_ANSWER_SECONDS)
    parser.add_argument("--batch-seconds", type=float, nargs="*", default=_BATCH_SECONDS)
    return parser.parse_known_args()[0]


@contextmanager
def _airflow_home() -> Iterator[None]:
    """Give Airflow, which is imported only from here on, a folder that goes away."""
    with tempfile.TemporaryDirectory(prefix="claude_batch_bench_") as name:
        os.environ.setdefault("AIRFLOW_HOME", name)
        logging.disable(logging.INFO)
        yield
        logging.disable(logging.NOTSET)


@contextmanager
def _emulator(seconds: float, answer_seconds: float) -> Iterator[EmulatorClient]:
    with tempfile.TemporaryDirectory(prefix="claude_batch_bench_") as name:
        emulation = Emulation(Path(name), Settings(seconds_per_batch=seconds, tier="scale"))
        emulation.batches.cache = ConcurrentCache(answer_seconds)
        thread = threading.Thread(target=emulation.run)
        thread.start()
        try:
            yield EmulatorClient(emulation.url)
        finally:
            emulation.stop()
            thread.join()


def _submit(rows: int, seconds: float, answer_seconds: float, *, cache_ttl: str | None, primes: bool) -> Bill:
    """Send the rows and return what they are billed."""
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

    with _emulator(seconds, answer_seconds) as emulator, tempfile.TemporaryDirectory() as name:
        os.environ["AIRFLOW_CONN_ANTHROPIC_DEFAULT"] = emulator.connection_json
        hook, folder = ClaudeBatchHook(), ManifestFolder.at(f"{name}/g00")
        with hook.client:
            _snapshot(folder, rows, cache_ttl=cache_ttl, first_requests=int(primes))
            _send(folder, hook, emulator, seconds)
            emulator.advance(seconds)
            while not all(batch.has_ended for batch in hook.list_batches().batches):
                pass
        total = emulator.bill["total"]
    read, written = total["cache_read_input_tokens"], total["cache_creation_1h_input_tokens"]
    return Bill(read / (read + written) if read + written else 0.0, Decimal(str(total["cost_usd"])))


def _snapshot(folder: Any, rows: int, *, cache_ttl: str | None, first_requests: int) -> None:
    import pyarrow as pa

    from airflow_provider_claude_batch.core.requests_to_shards import ShardCutter
    from airflow_provider_claude_batch.submission.snapshot import take_snapshot
    from airflow_provider_claude_batch.submission.spec import make_spec

    table = pa.table({"id": range(rows), "body": [f"{number}. {_TEXT}" for number in range(rows)]})
    spec = make_spec(
        claude_conn_id="anthropic_default",
        source=["rows"],
        key="id",
        model=_MODEL,
        max_tokens=_MAX_TOKENS,
        system=_SYSTEM,
        prompt="{body}",
        cache_ttl=cache_ttl,
    )
    take_snapshot(
        folder,
        table.to_reader(),
        spec,
        identity="0123456789abcdef",
        try_number=1,
        max_tries=1,
        now=_NOW,
        on_shard=lambda _: None,
        cutter=ShardCutter(first_requests=first_requests or None),
        pilot_requests=first_requests,
    )


def _send(folder: Any, hook: Any, emulator: EmulatorClient, seconds: float) -> None:
    """Send all shards; where the first one has to end before, let the emulator's clock go on."""
    from airflow_provider_claude_batch.core.gate import Gate
    from airflow_provider_claude_batch.submission.manifest_folder import require_plan
    from airflow_provider_claude_batch.submission.pauses import Pause
    from airflow_provider_claude_batch.submission.pilot import Pilot
    from airflow_provider_claude_batch.submission.send import SendRules, send_shards

    plan, record = require_plan(folder)
    pilot = Pilot(folder=folder, plan=plan, hook=hook, gate=Gate.of(None), on_answers=lambda _: None)
    while True:
        steps = list(
            send_shards(
                folder,
                plan,
                record,
                hook,
                rules=SendRules(grace=dt.timedelta(minutes=15), max_queued_requests=200_000),
                try_number=1,
                clock=lambda: dt.datetime.now(dt.UTC),
                admit=pilot.admit,
            )
        )
        if not isinstance(steps[-1], Pause):
            return
        emulator.advance(seconds + _POLL_SECONDS)


if __name__ == "__main__":
    main()
