"""The Dags that stand in the documentation and in no example: the quickstart's, and those of the how-tos."""

import json
import runpy
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from airflow.sdk import Asset

from tests.provider.dag_runs import metadata_database
from tests.provider.documented import own_test_reviews
from tests.provider.documented.own_test_reviews import (
    test_a_review_that_failed_is_asked_again_and_paid_once,
)

__all__ = ["metadata_database", "test_a_review_that_failed_is_asked_again_and_paid_once"]

FILES = Path(own_test_reviews.__file__).parent
DAGS = FILES / "dags"

#: The shop, its connection and the emulator, as the documented test has them.
emulator = own_test_reviews.emulator


@pytest.fixture(autouse=True)
def airflow(metadata_database, monkeypatch, tmp_path):
    """Airflow's own part of what a user's ``conftest.py`` sees to."""
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(DAGS)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__STAGING_PATH", str(tmp_path / "staging"))
    with warnings.catch_warnings():
        # What Airflow does by itself, reading its configuration and writing its database.
        warnings.simplefilter("ignore")
        yield


def dag_of(file, dag_id):
    return runpy.run_path(str(DAGS / file))[dag_id]


def test_rows_of_a_function_are_asked_about(emulator):
    assert dag_of("own_rows.py", "own_rows").test().state == "success"
    rows = pq.read_table("audiences").to_pylist()
    assert "apache-airflow-providers-anthropic" in [row["name"] for row in rows]
    assert {(row["claude_outcome"], type(row["is_library"])) for row in rows} == {("ok", bool)}


def test_partitions_share_a_folder(emulator):
    assert dag_of("partitions.py", "over_partitions").test().state == "success"
    folder = Path("labels_by_language")
    assert sorted(path.name for path in folder.iterdir()) == [f"data-0000{n}.parquet" for n in range(3)]
    assert sorted(pq.read_table(folder)["review_id"].to_pylist()) == [1, 2, 3, 4, 5]


def test_a_pipeline_in_one_call_tells_those_who_wait_for_its_asset():
    load = dag_of("partitions.py", "in_one_call").get_task("labels.load")
    assert (load.retries, load.max_error_rate, load.outlets) == (3, 0.02, [Asset("review_labels")])


@pytest.mark.parametrize(("file", "dag_id"), [("reported.py", "reported"), ("watched.py", "what_ended")])
def test_the_other_dags_of_the_how_tos_are_dags(file, dag_id):
    assert dag_of(file, dag_id).tasks


@pytest.mark.proof
def test_a_users_own_tests_run_as_they_are_documented(tmp_path):
    shutil.copytree(DAGS, tmp_path / "dags")
    for name, documented in (
        ("conftest.py", "own_conftest.py"),
        ("test_reviews.py", "own_test_reviews.py"),
        ("make_shop.py", "make_shop.py"),
    ):
        shutil.copy(FILES / documented, tmp_path / name)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
    assert "1 passed" in run.stdout
