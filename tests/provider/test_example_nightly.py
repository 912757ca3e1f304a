"""Three nights of a warehouse: what came is asked about once, and the table holds the last card of each."""

import datetime as dt
import json
import runpy
import warnings
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from demo.warehouse import installed_packages
from tests.provider.dag_runs import metadata_database

__all__ = ["metadata_database"]

DAG_FILE = Path(__file__).parents[2] / "example_dags" / "nightly_packages.py"
TASKS = ["submit", "wait", "load", "write"]
PACKAGES = installed_packages()[:30]
FIRST, SECOND, THIRD = (dt.datetime(2026, 11, day, 1, tzinfo=dt.UTC) for day in (20, 21, 22))


@pytest.fixture
def warehouse(tmp_path, monkeypatch):
    """Return a function that runs SQL in the warehouse, which saw the packages before two nights."""
    path = tmp_path / "warehouse.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(path)}))

    def query(sql, rows=None):
        with closing(duckdb.connect(str(path))) as database:
            return (database.executemany(sql, rows) if rows else database.execute(sql)).fetchall()

    query(
        "create table packages "
        "(name text, version text, summary text, description text, seen_at timestamp with time zone)"
    )
    query(
        "insert into packages values (?, ?, ?, ?, ?)",
        [
            (each.name, each.version, each.summary, each.description[:2000], seen_at)
            for packages, seen_at in (
                (PACKAGES[:20], FIRST - dt.timedelta(hours=9)),
                (PACKAGES[20:], FIRST),
            )
            for each in packages
        ],
    )
    return query


@pytest.fixture
def night(metadata_database, emulator, warehouse, tmp_path, monkeypatch):
    """Return a function that makes the run of a night and returns the states of its tasks."""
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(DAG_FILE.parent)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__STAGING_PATH", str(tmp_path / "staging"))

    def run(at, **params):
        conf = {"destination": str(tmp_path / "cards"), **params}
        with warnings.catch_warnings():
            # What Airflow does by itself, reading its configuration and writing its database.
            warnings.simplefilter("ignore")
            dag = runpy.run_path(str(DAG_FILE))["nightly_packages"]
            instances = dag.test(logical_date=at, run_conf=conf).get_task_instances()
        states = {ti.task_id: ti.state for ti in instances}
        return [str(states[task_id]) for task_id in TASKS]

    return run


def requests_in(emulator):
    return sum(sum(batch["request_counts"].values()) for batch in emulator.batches)


def names(packages):
    return sorted(package.name for package in packages)


def names_in(table):
    return [name for (name,) in sorted(table)]


def test_a_night_brings_typed_cards_of_its_own_packages_into_the_warehouse(night, warehouse, tmp_path):
    assert night(FIRST) == ["success"] * 4
    assert names_in(warehouse("select name from package_cards")) == names(PACKAGES[:20])
    assert (tmp_path / "cards" / "night=2026-11-20" / "data.parquet").exists()
    types = {name: kind for name, kind, *_ in warehouse("describe package_cards")}
    assert types == {
        "name": "VARCHAR",
        "version": "VARCHAR",
        "kind": "VARCHAR",
        "purpose": "VARCHAR",
        "uses_network": "BOOLEAN",
        "risk": "BIGINT",
        "claude_model": "VARCHAR",
        "claude_custom_id": "VARCHAR",
    }
    complete = "select count(*) from package_cards where risk in (0, 3, 5, 8, 10) and length(purpose) > 0"
    assert warehouse(complete) == [(20,)]


def test_a_night_that_is_run_again_asks_nothing_and_leads_to_the_same_table(night, warehouse, emulator):
    night(FIRST)
    cards, calls = warehouse("from package_cards order by name"), emulator.calls.count_of("create")
    assert night(FIRST) == ["success"] * 4
    assert warehouse("from package_cards order by name") == cards
    assert emulator.calls.count_of("create") == calls
    assert requests_in(emulator) == 20


def test_the_next_night_adds_what_came_and_replaces_what_changed(night, warehouse, emulator):
    changed, same = PACKAGES[0].name, PACKAGES[1].name
    night(FIRST)
    seen_at = SECOND - dt.timedelta(minutes=1)
    warehouse("update packages set version = '99.0', seen_at = ? where name = ?", [(seen_at, changed)])
    warehouse("update packages set seen_at = ? where name = ?", [(seen_at, same)])
    assert night(SECOND) == ["success"] * 4
    assert names_in(warehouse("select name from package_cards")) == names(PACKAGES)
    versions = dict(warehouse("select name, version from package_cards"))
    assert (versions[changed], versions[same]) == ("99.0", PACKAGES[1].version)
    assert requests_in(emulator) == 20 + 10 + 1


def test_a_night_without_new_packages_is_skipped(night, warehouse, emulator):
    assert night(THIRD) == ["skipped"] * 4
    assert emulator.batches == []


def test_a_run_without_a_logical_date_takes_the_last_day(night, warehouse, tmp_path):
    today = dt.datetime.now(dt.UTC)
    seen_at = today - dt.timedelta(hours=20)
    warehouse("update packages set seen_at = ? where name = ?", [(seen_at, PACKAGES[0].name)])
    assert night(None) == ["success"] * 4
    assert names_in(warehouse("select name from package_cards")) == [PACKAGES[0].name]
    [folder] = (tmp_path / "cards").iterdir()
    assert folder.name in {f"night={today:%Y-%m-%d}", f"night={dt.datetime.now(dt.UTC):%Y-%m-%d}"}


def test_everything_is_all_packages_whenever_they_were_seen(night, warehouse):
    assert night(THIRD, everything=True) == ["success"] * 4
    assert names_in(warehouse("select name from package_cards")) == names(PACKAGES)


def test_a_night_with_too_many_failed_rows_leaves_the_table_as_it_was(night, warehouse, emulator):
    night(FIRST)
    cards = warehouse("from package_cards order by name")
    emulator.fail("lines", with_="refusal", share=1, times=None)
    assert night(SECOND)[2:] == ["failed", "upstream_failed"]
    assert warehouse("from package_cards order by name") == cards
