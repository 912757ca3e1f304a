"""How soon after its batch's own end a wait is over."""

from __future__ import annotations

import statistics
import time
from datetime import datetime
from typing import TYPE_CHECKING

from bench.waiters.world import BATCH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.waiters.world import Load, World

#: Beyond the spread of the ends; Airflow lets a few tasks a second go on.
_TIMEOUT_SECONDS = 900
_LOOK_SECONDS = 0.5
_LEAD_SECONDS = 5.0
#: What triggers log when their wait is over: ours, Airflow's for a file, and Airflow itself for all.
_LINES = {"seen ended": " is ended, ", "seen the file": "Found File", "fired": "Trigger fired event"}


def end_batches(load: Load, world: World) -> dict[str, float]:
    """Let all batches end, at once or one after the other, and return how long the waits took to be over."""
    ends = _let_end(load, world)
    went_on = _watch_them_go(load, world)
    last = max(went_on.values()) - max(ends.values())
    measured = {
        "seconds from the last end until all tasks go on": last,
        "cancels": float(world.emulator.calls.count_of("cancel")),
    }
    if not load.spread_seconds:
        measured["tasks that go on a second"] = load.waits / last
    logs = world.trigger_logs()
    for what, words in _LINES.items():
        delays = [
            at - ends.get(log.batch_id or "", max(ends.values()))
            for log in logs
            if (at := log.time_of(words)) is not None
        ]
        measured |= _summary(what, delays, load.poll_seconds)
    if load.spread_seconds:
        delays = [at - ends[world.tasks[dag_id][task_id]] for (dag_id, task_id), at in went_on.items()]
        measured |= _summary("the task goes on", delays, load.poll_seconds)
    return measured


def _let_end(load: Load, world: World) -> dict[str, float]:
    """Put the emulator's clock forward, and return when each batch ends, in epoch seconds of the machine."""
    created = {batch["id"]: _epoch(batch["created_at"]) for batch in reversed(world.emulator.batches)}
    step = load.spread_seconds / load.waits
    due = {
        batch_id: at + BATCH_SECONDS + number * step for number, (batch_id, at) in enumerate(created.items())
    }
    if not load.spread_seconds:
        world.emulator.advance(BATCH_SECONDS)
        (world.dags_folder / "ended").touch()
        return dict.fromkeys(due, time.time())
    ahead = min(due.values()) - time.time() - _LEAD_SECONDS
    world.emulator.advance(ahead)
    return {batch_id: at - ahead for batch_id, at in due.items()}


def _watch_them_go(load: Load, world: World) -> dict[tuple[str, str], float]:
    """Return when each task, by Dag and task id, was first seen not to be deferred."""
    deadline = time.monotonic() + load.spread_seconds + _TIMEOUT_SECONDS
    left, went_on = world.deferred(), dict[tuple[str, str], float]()
    while left:
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"{len(left)} tasks are still deferred {_TIMEOUT_SECONDS} s after the last end"
            )
        time.sleep(_LOOK_SECONDS)
        now, still = time.time(), world.deferred()
        went_on |= dict.fromkeys(left - still, now)
        left = still
    return went_on


def _summary(what: str, delays: Sequence[float], tick: float) -> dict[str, float]:
    """Return where the delays lie, in ticks."""
    if not delays:
        return {}
    late = statistics.quantiles(delays, n=20, method="inclusive")[-1]
    return {
        f"{what}, lines": float(len(delays)),
        f"{what}, ticks after the end, median": statistics.median(delays) / tick,
        f"{what}, ticks after the end, 95 of 100": late / tick,
        f"{what}, ticks after the end, last": max(delays) / tick,
    }


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
