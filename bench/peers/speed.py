"""Many rows from the warehouse to a file: time and memory, one pipeline after the other."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.peers.landed import rows_landed
from bench.peers.memory import PeakMemory

if TYPE_CHECKING:
    from bench.peers.dag_setup import DagSetup
    from bench.peers.world import World

_RUN_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Timed:
    """
    One timed run.

    :param seconds: From the order to run the Dag until its run was seen to have ended.
    :param peak_megabytes: Of the largest task process.
    :param rows: With an answer in the output.
    """

    setup: DagSetup
    seconds: float
    peak_megabytes: float
    rows: int


def time_run(world: World, setup: DagSetup) -> Timed:
    """Run the Dag once; a run that fails has no answered rows."""
    rest = world.airflow.rest
    shutil.rmtree(setup.output, ignore_errors=True)
    rest.wait_for_dag(setup.dag_id)
    with PeakMemory(world.airflow) as memory:
        started = time.monotonic()
        run_id = rest.trigger(setup.dag_id)
        rest.wait_for_run(setup.dag_id, run_id, timeout=_RUN_SECONDS)
        seconds = time.monotonic() - started
    landed = rows_landed(setup.pipeline.output, setup.output)
    return Timed(setup, seconds=seconds, peak_megabytes=memory.megabytes, rows=landed.answered)
