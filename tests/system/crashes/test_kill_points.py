"""A task that is killed at any point is tried again, and no row is paid for twice or lost."""

import hashlib
import secrets
import sys

import pytest

from tests.system.crashes.crash_lab import CrashLab, CrashRun, kill
from tests.system.crashes.moments import ANSWER_LOST, IN_THE_SEARCH, LAST_BYTE_GONE, MOMENTS

pytestmark = pytest.mark.airflow

RANDOM = 10
RANDOM_IN_PROOF = 200

#: One in so many random deaths is in the load task.
LOAD_SHARE = 5

Killed = dict[str, CrashRun]


@pytest.fixture(scope="module")
def killed(lab: CrashLab) -> Killed:
    runs = {moment: lab.start(kill(point)) for moment, point in MOMENTS.items()}
    for moment, point in IN_THE_SEARCH.items():
        runs[moment] = lab.start(kill(LAST_BYTE_GONE), kill(point))
    for moment, point in ANSWER_LOST.items():
        runs[f"{moment}, on S3"] = lab.start(kill(point), is_on_s3=True)
    runs["never"] = lab.start(count_steps=True)
    lab.wait(runs.values())
    return runs


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_submit_task_killed_at_a_moment_pays_once(moment: str, killed: Killed):
    assert not killed[moment].problems()


@pytest.mark.parametrize("moment", ANSWER_LOST)
def test_a_submit_task_killed_at_a_moment_pays_once_with_its_manifest_on_s3(moment: str, killed: Killed):
    assert not killed[f"{moment}, on S3"].problems()


@pytest.mark.parametrize("moment", IN_THE_SEARCH)
def test_a_submit_task_killed_again_while_it_searches_its_batch_pays_once(moment: str, killed: Killed):
    assert not killed[moment].problems()


def test_a_run_that_nobody_kills_pays_once(killed: Killed):
    assert not killed["never"].problems()


def drawn(seed: int, number: int) -> int:
    """Return the random number of this place in the sequence of a seed."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest())


def kill_at_random(lab: CrashLab, never: CrashRun, *, count: int) -> dict[str, list[str]]:
    """
    Kill the submit or the load task of many runs, each after a random number of steps.

    :param never: A run with as many rows that was not killed, and whose steps were counted.
    :return: What is wrong with which run; seed and step are in its name.
    """
    seed = secrets.randbelow(2**32)
    steps = {task: never.steps(task) for task in ("submit", "load")}
    sys.stdout.write(f"seed {seed}, steps {steps}\n")
    runs = {}
    for number in range(count):
        task = "submit" if number % LOAD_SHARE else "load"
        step = 1 + drawn(seed, number) % steps[task]
        runs[f"seed {seed}, {task} killed at step {step}"] = lab.start(kill(f"step:{step}", task=task))
    lab.wait(runs.values(), timeout=60 + 15 * count)
    # A step near the end may not come where others were fewer: such a run is one without a death.
    assert sum(all(run.reached()) for run in runs.values()) >= 0.8 * count
    return {name: found for name, run in runs.items() if (found := run.problems(must_reach=False))}


def test_tasks_killed_after_any_number_of_steps_pay_once(lab: CrashLab, killed: Killed):
    assert kill_at_random(lab, killed["never"], count=RANDOM) == {}


@pytest.mark.proof
def test_hundreds_of_tasks_killed_after_any_number_of_steps_pay_once(lab: CrashLab, killed: Killed):
    assert kill_at_random(lab, killed["never"], count=RANDOM_IN_PROOF) == {}
