"""The emulator of the Message Batches API in a session of its own, out of reach of a terminal's Ctrl-C."""

import re
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_provider_claude_batch.emulator import EmulatorClient
from demo.airflow_standalone import own_environment
from demo.process_session import ProcessSession


class EmulatorSession:
    """
    The emulator as a context manager; inside it, the emulator answers, and :attr:`client` looks at it.

    :param state: Folder that the emulator keeps its batches in; made where it is missing.
    :param seconds_per_batch: How long a batch stays in progress.
    """

    def __init__(self, state: Path, *, seconds_per_batch: float) -> None:
        self.client = EmulatorClient("")
        self._state = state.resolve()
        self._seconds_per_batch = seconds_per_batch
        self._session: ProcessSession | None = None

    def __enter__(self) -> Self:
        self._state.mkdir(parents=True, exist_ok=True)
        module = [sys.executable, "-m", "airflow_provider_claude_batch.emulator", "--host", "127.0.0.1"]
        options = [
            "--port",
            "0",
            "--state",
            str(self._state),
            "--seconds-per-batch",
            str(self._seconds_per_batch),
        ]
        log_path = self._state.with_suffix(".log")
        self._session = ProcessSession(
            [*module, *options], environment=own_environment(), folder=self._state, log_path=log_path
        )
        try:
            self.client = EmulatorClient(self._wait_for_url())
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL, for the API's client."""
        return self.client.url

    @property
    def batch_page(self) -> str:
        """Address of the page of a batch, with a place for its id."""
        return f"{self.url}/_emulator/batches/{{batch_id}}"

    def pids(self) -> set[int]:
        """Return the ids of every living process of the emulator."""
        return {process.pid for process in self._session.processes()} if self._session else set()

    def stop(self) -> None:
        """End the emulator; does nothing where none runs."""
        if self._session is not None:
            self._session.stop(grace_seconds=10)
            self._session = None

    def _wait_for_url(self, timeout: float = 60) -> str:
        deadline = time.monotonic() + timeout
        while self._session.exit_code is None and time.monotonic() < deadline:
            if found := re.search(r"http://127\.0\.0\.1:\d+", self._session.last_lines(20)):
                return found[0]
            time.sleep(0.1)
        raise RuntimeError(f"the emulator did not start:\n{self._session.last_lines(20)}")
