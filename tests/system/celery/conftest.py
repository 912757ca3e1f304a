"""An Airflow with two Celery workers, and an object store for what they share."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bench.submitting.postgres_server import postgres_server
from demo.process_session import living
from tests.system.celery.celery_airflow import CeleryAirflow, redis_server

HOSTS = ("worker-1", "worker-2")
CONCURRENCY = 2
BUCKET = "lake"

SETTINGS = {
    "AIRFLOW__CLAUDE_BATCH__STAGING_PATH": f"s3://{BUCKET}/staging",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}


@pytest.fixture(scope="session")
def store() -> Iterator[dict[str, str]]:
    """Give the variables by which a process finds an S3 server with a bucket."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
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
def running_airflow(
    tmp_path_factory: pytest.TempPathFactory, warehouse: Path, store: dict[str, str]
) -> Iterator[CeleryAirflow]:
    folder = tmp_path_factory.mktemp("celery")
    duckdb = {"conn_type": "duckdb", "host": str(warehouse), "extra": {"read_only": True}}
    variables = {**SETTINGS, **store, "AIRFLOW_CONN_WAREHOUSE": json.dumps(duckdb)}
    with (
        postgres_server() as postgres_port,
        redis_server(folder / "redis") as redis_port,
        CeleryAirflow(
            folder / "home",
            dags_folder=Path(__file__).parent / "dags",
            environment=variables,
            postgres_port=postgres_port,
            redis_port=redis_port,
            concurrency=CONCURRENCY,
        ) as airflow,
    ):
        yield airflow
        pids = airflow.pids()
    assert living(pids) == set()


@pytest.fixture
def celery_airflow(running_airflow: CeleryAirflow) -> CeleryAirflow:
    """Give the Airflow with a living worker on every host."""
    running_airflow.start_workers(HOSTS)
    return running_airflow
