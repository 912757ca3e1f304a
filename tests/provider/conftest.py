"""A submission without Airflow's processes: real tables, the real SDK, the emulator over a socket."""

import dataclasses
import datetime as dt
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import s3fs
from airflow.sdk.io import store as store_of_airflow
from moto.server import ThreadedMotoServer

from airflow_provider_claude_batch.emulator import Emulator
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.answer_index import AnswerIndex
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.reuse import add_earlier_runs
from airflow_provider_claude_batch.submission.staging import TaskInstanceId
from airflow_provider_claude_batch.submission.takeover import Takeover
from tests.provider.submitting import NOW, Submission


@pytest.fixture
def emulator(claude_batch_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", claude_batch_emulator.connection_json)
    return claude_batch_emulator


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a SQLite file with five rows behind the connection ``warehouse``."""
    path = tmp_path / "warehouse.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("create table items (id integer, body text)")
    connection.executemany(
        "insert into items values (?, ?)",
        [(i, f"{'apple' if i % 2 else 'iron'} is number {i}") for i in range(5)],
    )
    connection.commit()
    connection.close()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return path


@pytest.fixture
def submission(tmp_path: Path, table: Path, emulator: Emulator) -> Iterator[Submission]:
    hook = ClaudeBatchHook()
    with hook.client:
        yield Submission(ManifestFolder.at(str(tmp_path / "staging" / "g00")), tmp_path / "out", hook)


@pytest.fixture
def run(submission: Submission, emulator: Emulator, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that takes a run of a task from the snapshot to its published rows."""
    emulator.settings(seconds_per_batch=0)
    root = tmp_path / "runs"

    def run_of(
        run_id,
        *,
        identity,
        since=NOW - dt.timedelta(days=30),
        publishes=True,
        checks=(),
        **arguments,
    ):
        ti = TaskInstanceId(dag_id="labels", run_id=run_id, task_id="submit")
        scratch = tmp_path / f"scratch-{run_id}"
        scratch.mkdir()
        takeover = Takeover(AnswerIndex(scratch))
        add_earlier_runs(takeover, str(root), ti, since=since)
        folder = ManifestFolder.at(f"{root}/labels/{run_id}/submit/g00")
        night = dataclasses.replace(submission, folder=folder)
        night.snapshot(identity=identity, takeover=takeover, staging_root=str(root), **arguments)
        night.send()
        while (steps := night.finish()) and isinstance(steps[-1], Pause):
            time.sleep(1)
        return night.publish(checks=checks).sort_by("id") if publishes else night

    return run_of


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Return the address of an S3 server."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URI of a bucket that every process of the test finds."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    # Both keep a file system for the life of the process, perhaps with the address of another server.
    monkeypatch.setattr(store_of_airflow, "_STORE_CACHE", {})
    s3fs.S3FileSystem.clear_instance_cache()
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket="lake")
    return "s3://lake"
