"""
Many waits on one poller, in a process of their own: ``python -m bench.waiters.poller WAITS URL``.

Prints a JSON object: calls and milliseconds of a tick, and the memory that the waits take. The clock is the
bench's own, so that a tick follows the one before it at once.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import TYPE_CHECKING

import psutil
from anthropic import AsyncAnthropic

from airflow_provider_claude_batch.emulator import EmulatorClient
from airflow_provider_claude_batch.triggers.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICKS = 20
_DAY = 86_400.0
_SPREAD_SECONDS = 60.0


class _TickingClock:
    """A clock that is put forward to the next look, and notes what each look took."""

    def __init__(self) -> None:
        self._now = time.time()
        self.ticks: list[tuple[float, float]] = []
        self.is_over = asyncio.Event()
        self._since = (time.perf_counter(), time.process_time())

    def now(self) -> float:
        return self._now

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        # Everybody who was told decides before the next look.
        for _ in range(3):
            await asyncio.sleep(0)
        took = (time.perf_counter() - self._since[0], time.process_time() - self._since[1])
        self.ticks.append(took)
        if len(self.ticks) > _TICKS:
            self.is_over.set()
            await event.wait()
        self._now += max(seconds, _SPREAD_SECONDS)
        self._since = (time.perf_counter(), time.process_time())


async def measure(batch_ids: Sequence[str], *, waits: int, url: str) -> dict[str, float]:
    """Wait with so many waits, one batch each, for some ticks."""

    async def open_client() -> AsyncAnthropic:
        return AsyncAnthropic(api_key="sk-ant-bench", base_url=url)

    async def wait_as_a_trigger_does(batch_id: str) -> None:
        async with poller.waiting_for([batch_id]) as wait:
            while wait.waiting():
                await wait.news(clock.now() + _DAY)

    calls_before = _calls(url)
    clock = _TickingClock()
    poller = Poller(open_client, clock=clock)
    idle = _megabytes()
    tasks = [
        asyncio.create_task(wait_as_a_trigger_does(batch_ids[number % len(batch_ids)]))
        for number in range(waits)
    ]
    await clock.is_over.wait()
    calls = _calls(url) - calls_before
    used = _megabytes() - idle
    began = time.perf_counter()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    # The first tick opens the client and imports what that needs; each wait is told then, and never again.
    ticks = sorted(clock.ticks[2 : _TICKS + 1])
    seconds, cpu_seconds = ticks[len(ticks) // 2]
    return {
        "calls": calls / len(clock.ticks),
        "tick_milliseconds": seconds * 1_000,
        "tick_cpu_milliseconds": cpu_seconds * 1_000,
        "megabytes": used,
        "leave_seconds": time.perf_counter() - began,
    }


def _calls(url: str) -> int:
    calls = EmulatorClient(url).calls
    return calls.count_of("list") + calls.count_of("retrieve")


def _megabytes() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def main() -> None:
    """Measure as the command line asks, the ids of the batches on standard input."""
    waits, url = int(sys.argv[1]), sys.argv[2]
    print(json.dumps(asyncio.run(measure(json.load(sys.stdin), waits=waits, url=url))))


if __name__ == "__main__":
    main()
