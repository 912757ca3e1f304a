"""Emulators started from Python: in a thread of this process, or as a process of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Self

from airflow_provider_claude_batch.emulator.client import EmulatorClient
from airflow_provider_claude_batch.emulator.server import Emulation
from airflow_provider_claude_batch.emulator.settings import Settings, changed

_STOP_SECONDS = 20


class _Started(EmulatorClient):
    """What both kinds have in common: a state folder, and a start and a stop."""

    def __init__(self, state: Path | None, port: int) -> None:
        super().__init__("")
        self._given_state = state
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.port = port

    @property
    def state(self) -> Path:
        """Return the state folder."""
        if self._given_state is not None:
            return self._given_state
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="claude-batch-emulator-")
        return Path(self._temporary.name)

    def start(self) -> None:
        """Start it; it can be called on return."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop it and wait for that; its state stays."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop it, and remove its state folder if that is a temporary one."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class Emulator(_Started):
    """
    An emulator in a thread of this process; use it in a ``with`` statement.

    :param state: Its state folder; by default a temporary one, removed at the end.
    :param port: Its port; 0 takes a free one.
    :param settings: See :class:`~.settings.Settings`.
    """

    def __init__(self, state: Path | None = None, *, port: int = 0, **settings: object) -> None:
        super().__init__(state, port)
        self._settings = changed(Settings(), settings)
        self._emulation: Emulation | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to serve; the port is bound on return."""
        self._emulation = Emulation(self.state, self._settings, port=self.port)
        self.port, self._url = self._emulation.port, self._emulation.url
        self._thread = threading.Thread(target=self._emulation.run, name="claude-batch-emulator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop it and wait for that; its state stays."""
        if self._emulation is not None and self._thread is not None:
            self._emulation.stop()
            self._thread.join(_STOP_SECONDS)
        self._emulation = self._thread = None


class EmulatorProcess(_Started):
    """
    An emulator in a process of its own; use it in a ``with`` statement.

    :param state: Its state folder; by default a temporary one, removed at the end.
    :param port: Its port; 0 takes a free one, which a later :meth:`start` takes again.
    :param arguments: More arguments for its command line, such as ``"--seconds-per-batch=5"``.
    """

    def __init__(self, state: Path | None = None, *, port: int = 0, arguments: tuple[str, ...] = ()) -> None:
        super().__init__(state, port)
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._running.pid

    def start(self) -> None:
        """Start the process; it serves on return."""
        module = "airflow_provider_claude_batch.emulator"
        command = [
            sys.executable,
            "-m",
            module,
            f"--port={self.port}",
            f"--state={self.state}",
            *self._arguments,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
        line = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not line:
            self.kill()
            raise RuntimeError("the emulator did not start")
        self._url = line.rsplit(" ", 1)[-1]
        self.port = int(self._url.rsplit(":", 1)[-1])

    def stop(self) -> None:
        """End the process in order and wait for that; its state stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, with SIGKILL, whatever it is doing."""
        self._end(signal.SIGKILL)

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the emulator is not running")
        return self._process

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(_STOP_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
