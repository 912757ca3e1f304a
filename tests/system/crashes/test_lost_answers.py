"""A create whose answer is lost, in whichever way, becomes one batch and is paid once."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from airflow_provider_claude_batch.emulator import Emulator
from tests.system.crashes.conftest import SECONDS_PER_BATCH
from tests.system.crashes.crash_lab import CrashLab, CrashRun, kill
from tests.system.crashes.moments import LAST_BYTE_GONE

pytestmark = pytest.mark.airflow

LOST_ANSWER = {"operation": "create", "with_": "reset-connection", "after": "accepted"}
LAG = {"operation": "list", "with_": "lag", "seconds": 5, "times": None}

#: What goes wrong, and the faults that do it.
OUTAGES = {
    "the connection is reset after the batch was accepted": [LOST_ANSWER],
    "a gateway answers 502 after the batch was accepted": [
        {"operation": "create", "with_": "status", "status": 502, "form": "html", "after": "accepted"}
    ],
    "the connection is reset before the batch is accepted": [
        {"operation": "create", "with_": "reset-connection", "after": "received"}
    ],
    "the connection is reset before the body is whole": [
        {"operation": "create", "with_": "reset-connection", "after": "headers"}
    ],
    "the answer is lost and the list lags": [LOST_ANSWER, LAG],
    "the answers to both shards are lost": [{**LOST_ANSWER, "times": 2}],
    "the answer is lost and the list fails": [
        LOST_ANSWER,
        {"operation": "list", "with_": "status", "status": 529, "times": 2},
    ],
}

#: What goes wrong, where the task is killed after the last byte.
OUTAGES_OF_THE_KILLED = {"the list lags": [LAG], "the list is as always": []}


@dataclass
class Outage:
    """One run, and the emulator that it alone sends to."""

    run: CrashRun
    emulator: Emulator


@pytest.fixture(scope="module")
def outages(lab: CrashLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outage]]:
    found: dict[str, Outage] = {}
    with ExitStack() as stack:
        for name, faults in {**OUTAGES, **OUTAGES_OF_THE_KILLED}.items():
            state = tmp_path_factory.mktemp("outage") / "state"
            emulator = stack.enter_context(Emulator(state, seconds_per_batch=SECONDS_PER_BATCH))
            for fault in faults:
                emulator.fail(**fault)
            points = [kill(LAST_BYTE_GONE)] if name in OUTAGES_OF_THE_KILLED else []
            found[name] = Outage(lab.start(*points, emulator=emulator), emulator)
        lab.wait([outage.run for outage in found.values()])
        yield found


@pytest.mark.parametrize("name", OUTAGES)
def test_an_outage_is_paid_once(name: str, outages: dict[str, Outage]):
    assert not outages[name].run.problems()
    assert outages[name].emulator.faults_left == 0


@pytest.mark.parametrize("name", OUTAGES_OF_THE_KILLED)
def test_a_task_killed_after_the_last_byte_pays_once_while(name: str, outages: dict[str, Outage]):
    assert not outages[name].run.problems()
