"""The example Dags in the test's own process, by Airflow's own ``DAG.test``."""

import datetime as dt
import importlib
import json
import runpy
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airflow import __version__
from packaging.version import Version
from starlette.testclient import TestClient

from airflow_provider_claude_batch.emulator import Emulator
from demo.warehouse import make_warehouse
from tests.examples.person import Person
from tests.provider.dag_runs import metadata_database

__all__ = ["metadata_database"]

EXAMPLE_DAGS = Path(__file__).parents[2] / "example_dags"

Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def emulator(claude_batch_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", claude_batch_emulator.connection_json)
    return claude_batch_emulator


@pytest.fixture(scope="session")
def warehouse_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("warehouse") / "warehouse.duckdb"
    make_warehouse(path)
    return path


@pytest.fixture
def warehouse(warehouse_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Query:
    """Return a function that runs SQL in the test's own warehouse, behind the connection ``warehouse``."""
    path = tmp_path / "warehouse.duckdb"
    shutil.copy(warehouse_file, path)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(path)}))

    def query(sql: str, parameters: object = None) -> list[tuple[Any, ...]]:
        with closing(duckdb.connect(str(path))) as database:
            return database.execute(sql, parameters).fetchall()

    return query


@pytest.fixture(scope="session")
def airflow_api(metadata_database: None) -> Iterator[TestClient]:
    """Return a client of Airflow's REST API in this process, on the metadata database of the runs."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # What Airflow does by itself, when its API server starts.
        warnings.simplefilter("ignore")
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "of-the-tests-" * 6)
        from airflow.api_fastapi.app import create_app

        with TestClient(create_app(apps="core"), base_url="http://127.0.0.1") as client:
            token = client.get("/auth/token").json()["access_token"]
            client.headers["authorization"] = f"Bearer {token}"
            yield client


@pytest.fixture
def run_example(
    metadata_database: None,
    emulator: Emulator,
    warehouse: Query,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Callable[..., dict[str, str]]:
    """
    Return a function that runs an example Dag and returns the states of its task instances.

    ``run_example(dag_id, conf, logical_date=..., answers=...)``; what is not given, the Dag's module in
    ``outcomes`` gives. Answers are what a person chooses, by task id.
    """
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(EXAMPLE_DAGS)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__STAGING_PATH", str(tmp_path / "staging"))
    # Where a Dag's companion module is found, as Airflow finds it beside the Dags.
    monkeypatch.syspath_prepend(str(EXAMPLE_DAGS))

    def run(
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        *,
        logical_date: dt.datetime | None = None,
        answers: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, str]:
        outcome = importlib.import_module(f"tests.examples.outcomes.{dag_id}")
        at = logical_date or getattr(outcome, "LOGICAL_DATE", None) or dt.datetime.now(dt.UTC)
        said = getattr(outcome, "ANSWERS", {}) if answers is None else answers
        if said and Version(__version__) < Version("3.3"):
            pytest.skip("before 3.3, DAG.test runs the trigger of a question where nobody can answer")
        run_conf = {**outcome.conf(tmp_path), **(conf or {})}
        with warnings.catch_warnings():
            # What Airflow does by itself, reading its configuration and writing its database.
            warnings.simplefilter("ignore")
            dag = runpy.run_path(str(EXAMPLE_DAGS / f"{dag_id}.py"))[dag_id]
            if not said:
                return _states(dag.test(logical_date=at, run_conf=run_conf))
            with Person(request.getfixturevalue("airflow_api"), dag_id, said):
                return _states(dag.test(logical_date=at, run_conf=run_conf))

    return run


def _states(dag_run: Any) -> dict[str, str]:
    return {_name(ti): str(ti.state) for ti in dag_run.get_task_instances()}


def _name(ti: Any) -> str:
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.rendered_map_index or ti.map_index}]"
