"""What the triggerer of a real Airflow takes while it holds many waits of one kind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.waiters.ends import end_batches
from bench.waiters.world import find_triggerer, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.waiters.world import Load, Triggerer, World

_TICKS = 6
#: Of a task that a worker defers, with some room: four at a time on two busy cores.
_SECONDS_PER_TASK = 6.0
_TIMEOUT_SECONDS = 900.0
_LOOK_SECONDS = 0.25


def measure_triggerer(load: Load, folder: Path) -> dict[str, float]:
    """Start an Airflow, defer its tasks, and measure its triggerer while they wait and when batches end."""
    with running(load, folder) as world:
        triggerer = find_triggerer(world.airflow)
        idle = triggerer.size()
        seconds = _defer_all(load, world)
        time.sleep(2 * load.poll_seconds)
        measured = _watch(load, world, triggerer, idle)
        return {"seconds until all are deferred": seconds} | measured | end_batches(load, world)


def _defer_all(load: Load, world: World) -> float:
    began = time.monotonic()
    for dag_id in world.tasks:
        world.airflow.rest.wait_for_dag(dag_id)
        world.airflow.rest.trigger(dag_id)
    timeout = _TIMEOUT_SECONDS + load.waits * _SECONDS_PER_TASK
    _wait_until(lambda: len(world.deferred()) == load.waits, "every task is deferred", timeout)
    # A trigger without a worker before it brings its whole Dag, which the triggerer reads for each of them.
    _wait_until(
        lambda: len(world.trigger_logs()) >= load.waits, "the triggerer has started them all", timeout
    )
    return time.monotonic() - began


def _watch(load: Load, world: World, triggerer: Triggerer, idle: dict[str, float]) -> dict[str, float]:
    """Return calls and processor time a tick, and the most that the triggerer takes beyond its idle state."""
    looks, cpu, began = world.looks(), triggerer.cpu_seconds(), time.monotonic()
    sizes = []
    while time.monotonic() - began < _TICKS * load.poll_seconds:
        sizes.append(triggerer.size())
        time.sleep(_LOOK_SECONDS)
    ticks = (time.monotonic() - began) / load.poll_seconds
    most = {name: max(size[name] for size in sizes) for name in idle}
    return {
        "calls a tick": (world.looks() - looks) / ticks,
        "processor seconds a tick": (triggerer.cpu_seconds() - cpu) / ticks,
        **{f"{name}, above {idle[name]:,.0f} idle": most[name] - idle[name] for name in idle},
    }


def _wait_until(holds: Callable[[], bool], what: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:.0f} s: {what}")
        time.sleep(1.0)
