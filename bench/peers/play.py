"""One scenario with every pipeline at once, and what came of each."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bench.peers.kills import order_kill
from bench.peers.landed import Landed, rows_landed
from bench.peers.paid import rows_paid
from bench.peers.scenarios import OUTAGE, OUTAGE_SECONDS
from bench.peers.triggerer import replace_triggerer
from demo.airflow_rest import FINISHED_RUN_STATES, AirflowRest
from demo.run import failure_logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_claude_batch.emulator import Emulator
    from bench.peers.dag_setup import DagSetup
    from bench.peers.world import World

_RUN_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What came of one run.

    :param state: Of the Dag run, at the end.
    :param batches: That the emulator accepted.
    :param rows_paid: Answers billed.
    :param paid_again: Of them, beyond the first of each row.
    :param landed: Rows in the output.
    :param is_struck: What was ordered to happen has happened.
    """

    setup: DagSetup
    state: str
    batches: int
    rows_paid: int
    paid_again: int
    landed: Landed
    is_struck: bool


def play(world: World, setups: Sequence[DagSetup]) -> list[Outcome]:
    """Play the one scenario of ``setups``, a run of each, side by side."""
    everyone_waits = threading.Barrier(len(setups), action=lambda: replace_triggerer(world.airflow))
    runs = [_Run(setup, world, everyone_waits) for setup in setups]
    threads = ThreadPoolExecutor(len(runs))
    try:
        return list(threads.map(_Run.play, runs))
    finally:
        # Interrupted, it does not wait for the runs: the end of Airflow ends them.
        threads.shutdown(wait=False)


class _Run:
    """One run of one Dag, with what happens to it."""

    def __init__(self, setup: DagSetup, world: World, everyone_waits: threading.Barrier) -> None:
        self._setup = setup
        self._scenario = setup.scenario
        self._emulator: Emulator = world.emulators[setup.dag_id]
        self._rest = AirflowRest(world.airflow.url)
        self._everyone_waits = everyone_waits
        self._run_id = ""
        self._was_struck = not setup.scenario.while_deferred

    def play(self) -> Outcome:
        """Run it to its end and return what came of it."""
        with self._rest:
            state = self._state_at_end()
        paid = rows_paid(self._emulator)
        return Outcome(
            setup=self._setup,
            state=state,
            batches=len(self._emulator.batches),
            rows_paid=paid.total(),
            paid_again=paid.total() - len(paid),
            landed=rows_landed(self._setup.pipeline.output, self._setup.output),
            is_struck=self._is_struck(),
        )

    def _state_at_end(self) -> str:
        self._order()
        self._rest.wait_for_dag(self._setup.dag_id)
        self._run_id = self._rest.trigger(self._setup.dag_id)
        if self._scenario.while_deferred:
            self._was_struck = self._wait_until_deferred()
            self._happen()
        state = self._wait_for_end()
        if self._scenario.is_cleared_after_success and state == "success":
            self._rest.clear(self._setup.dag_id, self._run_id)
            state = self._wait_for_end()
        return state

    def _order(self) -> None:
        for fault in self._scenario.faults:
            self._emulator.fail(**fault)
        if kill := self._scenario.kill:
            function = getattr(self._setup.pipeline, kill.function)
            order_kill(self._setup.kill_order, function=function, event=kill.event)

    def _wait_until_deferred(self) -> bool:
        with suppress(TimeoutError):
            for states in self._rest.watch_run(self._setup.dag_id, self._run_id, timeout=_RUN_SECONDS):
                if self._emulator.batches and "deferred" in states.values():
                    return True
        return False

    def _happen(self) -> None:
        match self._scenario.while_deferred:
            case "kill the triggerer":
                self._everyone_waits.wait(_RUN_SECONDS)
            case "clear the task":
                self._wait_for_half_of_the_answers()
                states = self._rest.task_states(self._setup.dag_id, self._run_id)
                deferred = [task for task, state in states.items() if state == "deferred"]
                self._rest.clear(self._setup.dag_id, self._run_id, deferred)
            case "clear the run":
                self._wait_for_half_of_the_answers()
                self._rest.clear(self._setup.dag_id, self._run_id)
            case "fail polls":
                for fault in OUTAGE:
                    self._emulator.fail(**fault)
                time.sleep(OUTAGE_SECONDS)
                self._was_struck = self._emulator.faults_used > 0
                self._emulator.clear_faults()

    def _wait_for_half_of_the_answers(self) -> None:
        created = datetime.fromisoformat(self._emulator.batches[0]["created_at"]).timestamp()
        time.sleep(max(0.0, created + self._scenario.seconds_per_batch / 2 - time.time()))

    def _wait_for_end(self) -> str:
        deadline = time.monotonic() + _RUN_SECONDS
        while (
            state := self._rest.dag_run(self._setup.dag_id, self._run_id)["state"]
        ) not in FINISHED_RUN_STATES:
            if time.monotonic() > deadline:
                return f"{state} after {_RUN_SECONDS} s"
            time.sleep(0.5)
        if state == "failed":
            self._keep_logs()
        return state

    def _keep_logs(self) -> None:
        logs = failure_logs(self._rest, self._setup.dag_id, self._run_id)
        log_path = self._setup.folder / "logs" / f"{self._setup.dag_id}.log"
        log_path.parent.mkdir(exist_ok=True)
        log_path.write_text("\n\n".join(logs))

    def _is_struck(self) -> bool:
        killed = self._scenario.kill is None or not self._setup.kill_order.exists()
        return self._was_struck and killed and self._emulator.faults_left == 0
