"""An Airflow whose components can be killed, stopped and started one by one."""

import contextlib
import signal
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from demo.airflow_standalone import AirflowStandalone
from demo.process_session import ProcessSession


class CrashAirflow(AirflowStandalone):
    """
    ``airflow standalone`` on PostgreSQL, with components beside it and further calls of its REST API.

    Dozens of runs at a time wait for each other's locks in SQLite for so long that its scheduler dies of it.

    :param environment: As for :class:`AirflowStandalone`; the components started later get it too.
    :param postgres_port: Of a server on the loopback interface, with an empty database ``postgres``.
    """

    def __init__(
        self, home: Path, *, dags_folder: Path, environment: Mapping[str, str], postgres_port: int
    ) -> None:
        self._database = f"postgres@127.0.0.1:{postgres_port}/postgres"
        database = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{self._database}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+psycopg://{self._database}",
        }
        super().__init__(home, dags_folder=dags_folder, environment={**environment, **database})
        self._beside: list[ProcessSession] = []

    def metadata_rows(self, sql: str, parameters: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        """Return what ``sql`` finds in the metadata database, its parameters written as ``%s``."""
        with psycopg.connect(f"postgresql://{self._database}") as connection:
            return connection.execute(sql, parameters).fetchall()

    def start_component(self, name: str) -> None:
        """Start one more scheduler or triggerer."""
        # The port of its log server is taken.
        command = [str(self.home / "bin" / "airflow"), name, "--skip-serve-logs"]
        log_path = self.home / f"{name}-{len(self._beside)}.log"
        self._beside.append(
            ProcessSession(command, environment=self._environment, folder=self.home, log_path=log_path)
        )

    def component(self, name: str) -> list[psutil.Process]:
        """Return the living processes of the newest scheduler or triggerer, parents first."""
        roots = [psutil.Process(self.pid), *(psutil.Process(session.pid) for session in self._beside)]
        components = [
            process for root in roots for process in [root, *root.children()] if name in _command(process)
        ]
        return [components[-1], *components[-1].children(recursive=True)]

    def stop(self) -> None:
        """End every process, those beside it too."""
        for session in self._beside:
            session.stop(grace_seconds=5)
        self._beside = []
        super().stop()

    def add_connection(self, conn_id: str, **fields: str) -> None:
        """Store a connection in the metadata database."""
        self._call("POST", "/connections", {"connection_id": conn_id, **fields})

    def trigger(self, dag_id: str, params: Mapping[str, Any], *, run_id: str) -> None:
        """Start a run under an id of the caller's choice."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(params)}
        self._call("POST", f"/dags/{dag_id}/dagRuns", body)

    def clear(self, dag_id: str, run_id: str, task_ids: list[str]) -> None:
        """Clear tasks of a run, whatever their state, so that they run again."""
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "task_ids": task_ids}
        self._call("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a run with all that Airflow knows of it."""
        self._call("DELETE", f"/dags/{dag_id}/dagRuns/{run_id}")

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        response = httpx.request(
            method,
            f"{self.url}/api/v2{path}",
            json=body,
            headers={"authorization": f"Bearer {self._token}"},
            timeout=60,
            trust_env=False,
        )
        if response.is_error:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text}")

    @cached_property
    def _token(self) -> str:
        return httpx.get(f"{self.url}/auth/token", timeout=60, trust_env=False).json()["access_token"]


def _command(process: psutil.Process) -> list[str]:
    """Return a process's command line; none of one that has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def send_signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to processes that may have ended."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
