"""Batches of the same count, all lost in one outage, are told apart by what is in them."""

from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_claude_batch.emulator import Emulator
from tests.system.crashes.conftest import SECONDS_PER_BATCH
from tests.system.crashes.crash_lab import CrashLab, CrashRun, go_on, stop, wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

#: The answer is lost and the search for the batch begins.
SEARCH = "ManifestFolder.write_sent:return > Search.decide:call"


def mapped_rows(run: CrashRun) -> list[tuple[int, str]]:
    """Return what the two instances of a mapped load have published."""
    return sorted(row for index in (0, 1) for row in run.published(f"data-{index:05d}.parquet"))


@pytest.mark.parametrize("last", ["the unrelated Dag", "the mapped tasks"])
def test_batches_of_one_outage_find_their_tasks_in_any_order(last: str, lab: CrashLab, tmp_path: Path):
    late = [stop(SEARCH, map_index=index) for index in (0, 1)]
    with Emulator(tmp_path / "state", seconds_per_batch=SECONDS_PER_BATCH) as emulator:
        emulator.fail("create", times=3, with_="reset-connection", after="accepted")
        mapped = lab.start(
            *(late if last == "the mapped tasks" else []), emulator=emulator, dag_id="crash_mapped"
        )
        unrelated = lab.start(*(late[:1] if last == "the unrelated Dag" else []), rows=3, emulator=emulator)
        first, second = (mapped, unrelated) if last == "the unrelated Dag" else (unrelated, mapped)
        wait_until(lambda: all(second.reached()), what=f"{last} stop")
        wait_until(lambda: first.task_states["wait"] is not None, what="the others have found their batches")
        go_on([second])
        lab.wait([mapped, unrelated])
        assert emulator.faults_left == 0
    assert not unrelated.problems()
    assert mapped.state == "success"
    assert mapped.accepted() == Counter(lab.rows(mapped.label).values())
    assert mapped_rows(mapped) == [(row, "ok") for row in sorted(lab.rows(mapped.label))]
