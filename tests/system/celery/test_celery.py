"""A mapped pipeline spreads over Celery workers, and one that dies neither loses a row nor pays twice."""

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import s3fs

from airflow_provider_claude_batch.emulator import Emulator
from demo.run import failure_logs
from tests.system.celery.celery_airflow import CeleryAirflow
from tests.system.celery.conftest import BUCKET, CONCURRENCY, HOSTS
from tests.system.celery.dags.partitioned import PARTITIONS
from tests.system.waiting import add_connection, wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.proof]

DAG_ID = "partitioned"
SECONDS_PER_BATCH = 5

#: Of some 25 KB that a load reads: long enough for four of them to run at once on a busy machine.
BYTES_PER_SECOND = 400


class PartitionedRun:
    """One run of the Dag, with an emulator that it alone knows."""

    def __init__(self, airflow: CeleryAirflow, emulator: Emulator, name: str) -> None:
        self.airflow, self.name = airflow, name
        add_connection(airflow, name, emulator)
        airflow.rest.wait_for_dag(DAG_ID)
        airflow.rest.unpause(DAG_ID)
        airflow.trigger(DAG_ID, {"claude_conn_id": name, "destination": f"s3://{BUCKET}/{name}"}, run_id=name)

    def tasks(self) -> list[dict[str, Any]]:
        """Return the task instances as Airflow describes them at this moment."""
        return self.airflow.rest.task_instances(DAG_ID, self.name)

    def running_loads(self) -> Counter[str]:
        """Return how many loads run on each host at this moment."""
        return Counter(
            task["hostname"]
            for task in self.tasks()
            if (task["task_id"], task["state"]) == ("labels.load", "running")
        )

    def finish(self) -> list[dict[str, Any]]:
        """Wait for the end, which must be a good one, and return the task instances."""
        state = self.airflow.rest.wait_for_run(DAG_ID, self.name, timeout=600)
        assert state == "success", "\n\n".join(failure_logs(self.airflow.rest, DAG_ID, self.name))
        tasks = self.tasks()
        assert [task["state"] for task in tasks] == ["success"] * (3 * PARTITIONS)
        return tasks

    def published(self, store: dict[str, str]) -> list[tuple[int, str]]:
        """Return key and name of every published row."""
        lake = s3fs.S3FileSystem(
            key=store["AWS_ACCESS_KEY_ID"],
            secret=store["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=store["AWS_ENDPOINT_URL"],
            skip_instance_cache=True,
        )
        paths = lake.glob(f"{BUCKET}/{self.name}/*.parquet")
        assert len(paths) == PARTITIONS
        tables = [pq.ParquetFile(lake.open(path)).read() for path in paths]
        assert {outcome for table in tables for outcome in table["claude_outcome"].to_pylist()} == {"ok"}
        return sorted(
            (row["distribution_id"], row["name"])
            for table in tables
            for row in table.select(["distribution_id", "name"]).to_pylist()
        )


def rows_of(warehouse: Path) -> list[tuple[int, str]]:
    """Return key and name of every row of the table."""
    with closing(duckdb.connect(str(warehouse), read_only=True)) as database:
        return database.execute("select distribution_id, name from packages order by all").fetchall()


def assert_paid_once(emulator: Emulator, *, rows: int) -> None:
    """Check that every partition was accepted one time, and that nothing was canceled."""
    counts = [batch["request_counts"] for batch in emulator.batches]
    assert len(counts) == emulator.calls.count_of("create") == PARTITIONS
    assert sum(count["succeeded"] for count in counts) == rows
    assert emulator.calls.count_of("cancel") == 0


def test_two_workers_share_a_mapped_pipeline(
    celery_airflow: CeleryAirflow, store: dict[str, str], warehouse: Path, tmp_path: Path
):
    with Emulator(tmp_path / "state", seconds_per_batch=SECONDS_PER_BATCH) as emulator:
        run = PartitionedRun(celery_airflow, emulator, "shared")
        tasks = run.finish()
        assert run.published(store) == rows_of(warehouse)
        assert_paid_once(emulator, rows=len(rows_of(warehouse)))
    share = Counter(task["hostname"] for task in tasks)
    assert set(share) == set(HOSTS)
    assert max(share.values()) <= 0.8 * len(tasks), share


def test_what_a_killed_worker_was_loading_is_loaded_by_the_other(
    celery_airflow: CeleryAirflow, store: dict[str, str], warehouse: Path, tmp_path: Path
):
    # A worker whose loads fill all its places holds no further task, which Airflow would miss much later.
    busy = dict.fromkeys(HOSTS, CONCURRENCY)
    with Emulator(tmp_path / "state", seconds_per_batch=SECONDS_PER_BATCH) as emulator:
        emulator.fail(
            "results", times=sum(busy.values()), with_="slow-download", bytes_per_second=BYTES_PER_SECOND
        )
        run = PartitionedRun(celery_airflow, emulator, "killed")
        wait_until(
            lambda: emulator.faults_left == 0 and run.running_loads() == busy,
            what="every worker loads as much as it can",
            timeout=240,
        )
        victim, survivor = HOSTS
        killed = [
            task["map_index"]
            for task in run.tasks()
            if (task["state"], task["hostname"]) == ("running", victim)
        ]
        celery_airflow.kill_worker(victim)
        tasks = run.finish()
        assert run.published(store) == rows_of(warehouse)
        assert_paid_once(emulator, rows=len(rows_of(warehouse)))
    again = {task["map_index"]: task for task in tasks if task["task_id"] == "labels.load"}
    assert len(killed) == CONCURRENCY
    assert [(again[index]["try_number"], again[index]["hostname"]) for index in killed] == [
        (2, survivor)
    ] * CONCURRENCY
