"""Of a hundred thousand rows a few fail: they alone are sent again, and each answer is paid for once."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_claude_batch.emulator import Emulator
from tests.system.crashes.conftest import open_lab
from tests.system.crashes.crash_lab import CrashRun
from tests.system.crashes.loaded import histories, load_problems, published

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

ROWS = 100_000
MAX_ROUNDS = 3
FAULTS = (
    {"with_": "errored", "error_type": "overloaded_error", "share": 0.03},
    {"with_": "max_tokens", "share": 0.005},
    {"with_": "errored", "error_type": "invalid_request_error", "share": 0.002},
)
SENT_AGAIN = {"overloaded_error", "max_tokens"}
FINAL = {"succeeded", "invalid_request_error"}


def seconds_of(run: CrashRun, task_id: str) -> float:
    query = "select duration from task_instance where run_id = %s and task_id = %s"
    return run.lab.airflow.metadata_rows(query, (run.run_id, task_id))[0][0]


def test_a_hundred_thousand_rows_send_again_only_what_failed(tmp_path: Path):
    with (
        Emulator(tmp_path / "state") as emulator,
        open_lab(tmp_path / "lab", states=[], settings={}) as lab,
    ):
        for fault in FAULTS:
            emulator.fail("lines", times=None, **fault)
        lab.airflow.rest.wait_for_dag("crash_load")
        lab.airflow.rest.unpause("crash_load")
        run = lab.start(rows=ROWS, emulator=emulator, dag_id="crash_load")
        lab.wait([run], timeout=900)
        came = list(histories(emulator).values())
        rounds = [sum(len(one) > index for one in came) for index in range(max(map(len, came)))]
        sys.stdout.write(f"requests by round: {rounds}, load: {seconds_of(run, 'load'):.0f} s\n")
        table = published(run)
        assert not load_problems(run, emulator, table)
        assert {kind for one in came for kind in one[:-1]} == SENT_AGAIN
        assert {one[-1] for one in came if len(one) < MAX_ROUNDS} == FINAL
        assert max(map(len, came)) in (2, MAX_ROUNDS)
        outcomes = Counter(table["claude_outcome"].to_pylist())
        assert outcomes["ok"] == sum(one[-1] == "succeeded" for one in came)
        assert outcomes["errored"] == sum(one[-1].endswith("_error") for one in came)
