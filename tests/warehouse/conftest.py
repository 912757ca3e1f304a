"""The databases that datasets are written to, each as the connection ``warehouse``."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

import duckdb
import pytest

from tests.sources.conftest import postgres, postgres_server

__all__ = ["postgres", "postgres_server", "warehouse"]

DATABASES = ["psycopg", "psycopg2", "duckdb", "sqlite"]


@pytest.fixture(params=DATABASES)
def warehouse(
    request: pytest.FixtureRequest, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], list]:
    """Return what runs SQL in an empty database and holds no connection to it in between."""
    if request.param.startswith("psycopg"):
        from airflow.providers.postgres.hooks import postgres as hook

        monkeypatch.setattr(hook, "USE_PSYCOPG3", request.param == "psycopg")
        return request.getfixturevalue("postgres")
    path = tmp_path / "warehouse.db"
    connect = {"duckdb": duckdb.connect, "sqlite": sqlite3.connect}[request.param]
    address = json.dumps({"conn_type": request.param, "host": str(path)})
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", address)

    def run(sql: str) -> list:
        with closing(connect(str(path))) as connection:
            rows = connection.execute(sql).fetchall()
            connection.commit()
            return rows

    return run
