"""More rows than the account's queue takes at a time are sent as it empties, without a refusal."""

from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_claude_batch.emulator import Emulator
from tests.system.crashes.conftest import open_lab
from tests.system.crashes.crash_lab import wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

ROWS = 250_000
QUEUE = 100_000


def test_a_quarter_of_a_million_rows_pass_a_queue_of_a_hundred_thousand(tmp_path: Path):
    with (
        Emulator(tmp_path / "state", seconds_per_batch=30, queue_limit=QUEUE) as emulator,
        open_lab(tmp_path / "lab", states=[], settings={}) as lab,
    ):
        run = lab.start(rows=ROWS, emulator=emulator, extra={"max_queued_requests": QUEUE})
        wait_until(
            lambda: run.task_states.get("submit") == "deferred", what="submit waits for room", timeout=240
        )
        lab.wait([run], timeout=600)
        assert run.state == "success", lab.log_tails(run)
        assert len(emulator.batches) == 3
        assert emulator.calls.count_of("create", 429) == 0
        assert Counter(run.accepted().values()) == {1: ROWS}
        assert run.published() == [(row, "ok") for row in range(1, ROWS + 1)]
