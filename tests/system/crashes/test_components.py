"""Schedulers that die and triggerers that change hands neither pay twice nor cancel anything."""

import signal
from pathlib import Path

import psutil
import pytest

from airflow_provider_claude_batch.emulator import Emulator
from tests.system.crashes.crash_airflow import send_signal
from tests.system.crashes.crash_lab import CrashLab, CrashRun, stop, wait_until
from tests.system.crashes.moments import LAST_BYTE_GONE

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

HOURS = 3600


def triggerers(lab: CrashLab, run: CrashRun) -> set[int]:
    """Return the triggerers that hold the triggers of a run."""
    query = (
        "select trigger.triggerer_id from trigger join task_instance on trigger_id = trigger.id "
        "where run_id = %s and triggerer_id is not null"
    )
    return {triggerer for (triggerer,) in lab.airflow.metadata_rows(query, (run.run_id,))}


@pytest.mark.parametrize("lost", ["nothing", "the answer"])
def test_a_wait_that_two_triggerers_hold_cancels_nothing(lost: str, lab: CrashLab, tmp_path: Path):
    with Emulator(tmp_path / "state", seconds_per_batch=HOURS) as emulator:
        if lost == "the answer":
            emulator.fail_once("create", with_="reset-connection", after="accepted")
        run = lab.start(emulator=emulator)
        wait_until(lambda: bool(triggerers(lab, run)), what="a triggerer holds the wait")
        held_by = triggerers(lab, run)
        frozen = lab.airflow.component("triggerer")
        send_signal(frozen, signal.SIGSTOP)
        try:
            lab.airflow.start_component("triggerer")
            wait_until(lambda: bool(triggerers(lab, run) - held_by), what="another takes over", timeout=120)
            looks = len(emulator.calls)
            wait_until(lambda: len(emulator.calls) > looks, what="it looks")
        finally:
            send_signal(frozen, signal.SIGCONT)
        looks = len(emulator.calls)
        wait_until(lambda: len(emulator.calls) > looks + 5, what="both have looked")
        assert {batch["processing_status"] for batch in emulator.batches} == {"in_progress"}
        emulator.advance(HOURS)
        if lost == "the answer":
            wait_until(lambda: run.task_states["wait"] == "deferred", what="the rest is sent")
            emulator.advance(HOURS)
        lab.wait([run])
        assert emulator.calls.count_of("cancel") == 0
    assert not run.problems()


def test_a_scheduler_that_dies_with_all_its_tasks_pays_once(lab: CrashLab):
    runs = [lab.start(stop(point)) for point in ("ManifestFolder.write_sent:call", LAST_BYTE_GONE)]
    wait_until(lambda: all(all(run.reached()) for run in runs), what="the tasks stop")
    dying = lab.airflow.component("scheduler")
    send_signal(dying, signal.SIGKILL)
    psutil.wait_procs(dying, timeout=10)
    lab.airflow.start_component("scheduler")
    lab.wait(runs)
    assert [run.problems() for run in runs] == [[], []]


def test_a_scheduler_that_dies_alone_leaves_tasks_that_pay_once(lab: CrashLab):
    """Its workers go on beside those of the next scheduler, which gives the same tasks to others."""
    runs = [lab.start() for _ in range(4)]
    wait_until(lambda: any(run.task_states.get("submit") == "running" for run in runs), what="a task runs")
    send_signal(lab.airflow.component("scheduler")[:1], signal.SIGKILL)
    lab.airflow.start_component("scheduler")
    lab.wait(runs)
    assert [run.problems() for run in runs] == [[], [], [], []]
