"""The Airflow of the crash tests: small shards, a short grace, tasks that are given up soon."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bench.submitting.postgres_server import postgres_server
from demo.emulator_session import EmulatorSession
from tests.system.crashes.crash_airflow import CrashAirflow
from tests.system.crashes.crash_lab import BUCKET, CrashLab

DAGS = Path(__file__).parents[1] / "dags"
SECONDS_PER_BATCH = 2

SETTINGS = {
    "AIRFLOW__CLAUDE_BATCH__LOST_CREATE_GRACE_SECONDS": "8",
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}

#: Read by every Airflow process at its start. The scheduler's workers are its forks, and their tasks theirs:
#: what it has imported they need not, and a hundred of them take minutes less.
LOCAL_SETTINGS = """
import sys

if "scheduler" in sys.argv:
    import airflow.providers.anthropic.hooks.anthropic
    import airflow.providers.sqlite.hooks.sqlite
    import anthropic.types.messages
    import pandas
    import pyarrow.parquet
    import s3fs

    import airflow_provider_claude_batch.operators.submit
    import airflow_provider_claude_batch.sensors.batch
    import airflow_provider_claude_batch.transfers.batch_to_parquet
"""


@contextmanager
def open_lab(folder: Path, *, states: list[Path], settings: Mapping[str, str]) -> Iterator[CrashLab]:
    """
    Open a lab with an Airflow of its own.

    :param folder: Takes everything.
    :param states: State folders of the emulators that its runs send to.
    :param settings: Environment variables of every component.
    """
    dags_folder, runs = folder / "dags", folder / "runs"
    local_settings = folder / "home" / "config" / "airflow_local_settings.py"
    for path in (dags_folder, runs, local_settings.parent):
        path.mkdir(parents=True)
    for name in ("crash_submit.py", "kill_points.py"):
        shutil.copy(DAGS / name, dags_folder)
    local_settings.write_text(LOCAL_SETTINGS)
    with (
        postgres_server() as port,
        CrashAirflow(
            folder / "home",
            dags_folder=dags_folder,
            environment={**SETTINGS, **settings},
            postgres_port=port,
        ) as airflow,
    ):
        yield CrashLab(airflow, states, runs).prepare("crash_submit", "crash_slow_retry", "crash_mapped")


@pytest.fixture(scope="session")
def crash_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state folder of the emulator that runs send to where they have none of their own."""
    return tmp_path_factory.mktemp("crash_emulator") / "state"


@pytest.fixture(scope="session")
def crash_emulator(crash_state: Path) -> Iterator[EmulatorSession]:
    with EmulatorSession(crash_state, seconds_per_batch=SECONDS_PER_BATCH) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def s3_settings() -> Iterator[dict[str, str]]:
    """Give the variables by which a process finds an S3 server with a bucket."""
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
    yield settings
    server.stop()


@pytest.fixture(scope="session")
def lab(
    tmp_path_factory: pytest.TempPathFactory,
    crash_emulator: EmulatorSession,
    crash_state: Path,
    s3_settings: dict[str, str],
) -> Iterator[CrashLab]:
    settings = {
        **s3_settings,
        "AIRFLOW_CONN_ANTHROPIC_DEFAULT": crash_emulator.client.connection_json,
        "AIRFLOW__CLAUDE_BATCH__MAX_REQUESTS_PER_BATCH": "3",
    }
    with open_lab(tmp_path_factory.mktemp("crashes"), states=[crash_state], settings=settings) as opened:
        yield opened
