"""
A real Airflow: scheduler with LocalExecutor, triggerer, Dag processor and API server, on SQLite.

For the demo and the system tests. Everything it writes is below one folder, it listens on the loopback
interface only, on free ports, so that several can run side by side, and no process of it is left once it has
stopped.
"""

import os
import secrets
import shlex
import socket
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from demo.airflow_rest import AirflowRest
from demo.process_session import ProcessSession

COMPONENTS = frozenset({"metadatabase", "scheduler", "triggerer", "dag_processor"})

#: Prefixes of variables that would lead a task to another Airflow, another warehouse or the paid API.
FOREIGN_PREFIXES = ("AIRFLOW", "_AIRFLOW", "ANTHROPIC_")

#: What the components get to end by themselves; 4 s were seen, more while other work keeps the machine busy.
GRACE_SECONDS = 30


class AirflowStandalone:
    """
    ``airflow standalone`` as a context manager; inside it, every component is healthy.

    :param home: Takes configuration, metadata database and logs; made where it is missing.
    :param dags_folder: The Dags it runs.
    :param environment: Variables for every component, such as connections; they win over what is set here.
    :param start_timeout: Seconds until every component must be healthy.
    """

    def __init__(
        self,
        home: Path,
        *,
        dags_folder: Path,
        environment: Mapping[str, str] | None = None,
        start_timeout: float = 240,
    ) -> None:
        self.home = home.resolve()
        api_port, *log_ports = _free_ports(3)
        self.url = f"http://127.0.0.1:{api_port}"
        self.rest = AirflowRest(self.url)
        self._start_timeout = start_timeout
        self._environment = {
            **own_environment(),
            **_settings(self.home, dags_folder.resolve(), api_port=api_port, log_ports=log_ports),
            **(environment or {}),
        }
        self._session: ProcessSession | None = None

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            self._start()
            self._wait_until_healthy()
            on_failure.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log_path(self) -> Path:
        """What all components print."""
        return self.home / "standalone.log"

    @property
    def pid(self) -> int | None:
        """Process id of ``airflow standalone``, the parent of every component; ``None`` where none runs."""
        return self._session.pid if self._session else None

    def pids(self) -> set[int]:
        """Return the ids of every living process of this Airflow."""
        return {process.pid for process in self._session.processes()} if self._session else set()

    def process_titles(self) -> list[str]:
        """Return the command line of every process; a LocalExecutor worker's says what it works on."""
        return self._session.command_lines() if self._session else []

    def metadata_rows(self, sql: str, parameters: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        """Return what ``sql`` finds in the metadata database, which is opened read-only."""
        with closing(
            sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30)
        ) as database:
            return database.execute(sql, parameters).fetchall()

    def stop(self) -> None:
        """End every process of this Airflow; does nothing where none runs."""
        self.rest.close()
        if self._session is not None:
            self._session.stop(grace_seconds=GRACE_SECONDS)
            self._session = None

    def _start(self) -> None:
        """
        Start ``airflow standalone``, with its components made to run through the same script as itself.

        They also get the executor back that was asked for, in whose place it puts the LocalExecutor.
        """
        command = [sys.executable, "-P", str(Path(__file__).with_name("airflow_process.py"))]
        launcher = self.home / "bin" / "airflow"
        launcher.parent.mkdir(exist_ok=True)
        executor = shlex.quote(self._environment["AIRFLOW__CORE__EXECUTOR"])
        launcher.write_text(
            f'#!/bin/sh\nexport AIRFLOW__CORE__EXECUTOR={executor}\nexec {shlex.join(command)} "$@"\n'
        )
        launcher.chmod(0o755)
        self._session = ProcessSession(
            [*command, "standalone"], environment=self._environment, folder=self.home, log_path=self.log_path
        )

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + self._start_timeout
        while unhealthy := COMPONENTS - {
            name for name, state in self.rest.component_states().items() if state == "healthy"
        }:
            exit_code = self._session.exit_code
            if exit_code is not None or time.monotonic() > deadline:
                happened = "runs" if exit_code is None else f"ended with code {exit_code}"
                raise RuntimeError(
                    f"airflow standalone {happened}, not healthy: {', '.join(sorted(unhealthy))}. "
                    f"{self.log_path} ends with:\n{self._session.last_lines(40)}"
                )
            time.sleep(0.5)


def own_environment() -> dict[str, str]:
    """Return this process's environment without what belongs to another Airflow or to the paid API."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}


def _settings(home: Path, dags_folder: Path, *, api_port: int, log_ports: list[int]) -> dict[str, str]:
    url = f"http://127.0.0.1:{api_port}"
    worker_log_port, trigger_log_port = log_ports
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "urllib.request.localhost",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(api_port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # On a busy machine its API server takes half a minute for the first call of a task.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PATH": os.pathsep.join(
            [str(home / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        ),
        "PYTHONUNBUFFERED": "1",
    }


def _free_ports(count: int) -> list[int]:
    """Return ports that were free on the loopback interface a moment ago."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]
