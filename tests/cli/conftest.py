"""A submission that was planned for a task of a Dag, below a staging root of its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk import ObjectStoragePath
from moto.server import ThreadedMotoServer

from airflow_provider_claude_batch.emulator import Emulator
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.staging import TaskInstanceId, submission_folder
from tests.provider.conftest import emulator, table
from tests.provider.submitting import Submission

__all__ = ["emulator", "table"]

INSTANCE = TaskInstanceId(dag_id="label", run_id="manual__2026-11-22T10:00:00+00:00", task_id="submit")


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the connection of an S3 server with the bucket ``lake``, for URIs."""
    extra = {"endpoint_url": s3_endpoint, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_S3_OF_CLI", json.dumps(connection))
    ObjectStoragePath("s3://s3_of_cli@lake/").fs.makedirs("lake", exist_ok=True)
    return "s3://s3_of_cli"


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    return tmp_path / "staging"


@pytest.fixture
def submission(tmp_path: Path, staging: Path, table: Path, emulator: Emulator) -> Iterator[Submission]:
    hook = ClaudeBatchHook()
    folder = ManifestFolder(submission_folder(str(staging), INSTANCE).child("g00"))
    with hook.client:
        yield Submission(folder, tmp_path / "out", hook)
