"""Runs of the Dags beside the tests, in the test's own process, by Airflow's own ``DAG.test``."""

import json
import runpy
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.utils import db

DAGS = Path(__file__).parent / "dags"

RunDag = Callable[..., dict[str, str]]


@pytest.fixture(scope="session")
def metadata_database() -> None:
    """Make the metadata database of this test run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        db.initdb()


@pytest.fixture
def run_dag(
    metadata_database: None, emulator: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunDag:
    """
    Return a function that runs a Dag of a file and returns the states of its task instances.

    The Dag's param ``folder`` is the test's own folder.
    """
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(DAGS)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__STAGING_PATH", str(tmp_path / "staging"))

    def run(file: str, dag_id: str) -> dict[str, str]:
        with warnings.catch_warnings():
            # What Airflow does by itself, reading its configuration and writing its database.
            warnings.simplefilter("ignore")
            dag = runpy.run_path(str(DAGS / file))[dag_id]
            dag_run = dag.test(run_conf={"folder": str(tmp_path)})
            return {_name(ti): str(ti.state) for ti in dag_run.get_task_instances()}

    return run


def _name(ti: object) -> str:
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.rendered_map_index or ti.map_index}]"
