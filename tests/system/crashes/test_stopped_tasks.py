"""A task that stands still until Airflow gives it up, and wakes when its successor has sent, pays nothing."""

from collections import Counter

import pytest

from tests.system.crashes.crash_lab import CrashLab, CrashRun, go_on, stop, wait_until
from tests.system.crashes.moments import LAST_BYTE_HELD, MOMENTS

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

#: Stands still between the last look at the clock and the last byte: nothing can hold that back.
OPEN = "before the last byte"

#: Those that tell most; the others take as long again.
TELLING = (
    "before the plan",
    "before the sent record",
    "after the sent record",
    "after the last byte",
    "before the batch record",
)
OTHERS = [moment for moment in MOMENTS if moment not in (*TELLING, OPEN)]


def stop_and_wake(lab: CrashLab, moments: list[str]) -> dict[str, CrashRun]:
    """Stop a task at each of the moments, let its successor send everything, then let it go on."""
    runs = {moment: lab.start(stop(MOMENTS[moment])) for moment in moments}
    wait_until(lambda: all(all(run.reached()) for run in runs.values()), what="every task stops")
    wait_until(
        lambda: all(run.task_states["submit"] == "success" for run in runs.values()),
        what="every successor has sent",
        timeout=180,
    )
    go_on(runs.values())
    lab.wait(runs.values())
    return runs


@pytest.fixture(scope="module")
def woken(lab: CrashLab) -> dict[str, CrashRun]:
    return stop_and_wake(lab, list(TELLING))


@pytest.mark.parametrize("moment", TELLING)
def test_a_task_that_wakes_after_its_successor_pays_nothing(moment: str, woken: dict[str, CrashRun]):
    assert not woken[moment].problems()


def test_a_task_that_wakes_from_any_other_moment_pays_nothing(lab: CrashLab):
    for start in range(0, len(OTHERS), 5):
        runs = stop_and_wake(lab, OTHERS[start : start + 5])
        assert {moment: found for moment, run in runs.items() if (found := run.problems())} == {}


def test_a_task_that_stands_still_right_before_its_last_byte_loses_nothing(lab: CrashLab):
    """The one moment that stays open, as is documented: a shard may be paid twice, and none is lost."""
    run = lab.start(stop(LAST_BYTE_HELD))
    wait_until(lambda: run.task_states["submit"] == "success", what="the successor has sent", timeout=180)
    go_on([run])
    lab.wait([run])
    rows = Counter(lab.rows(run.label).values())
    assert run.state == "success"
    assert run.published() == [(row, "ok") for row in sorted(lab.rows(run.label))]
    assert not rows - run.accepted()
    assert not run.accepted() - rows - rows
