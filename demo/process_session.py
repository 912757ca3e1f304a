"""
A command in a session of its own, and the end of everything it started.

Airflow's components start processes that outlive them when they are stopped the wrong way. What belongs to a
session is therefore found in three ways: by descent, by session id, and by a mark in the environment.
"""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

#: Environment variable that every process of a session inherits.
MARK = "DEMO_PROCESS_SESSION"


class ProcessSession:
    """
    A command that runs in its own session, its output in a file.

    :param command: Program and arguments.
    :param environment: The whole environment of the command; the session's mark is added.
    :param folder: Working directory.
    :param log_path: Takes what the command and everything it starts prints.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log_path: Path
    ) -> None:
        self.log_path = log_path
        self._mark = uuid.uuid4().hex
        self._seen: dict[int, psutil.Process] = {}
        with log_path.open("ab") as log:
            self._popen = psutil.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**environment, MARK: self._mark},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id of the command, which is also the id of its session and process group."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code of the command, or ``None`` while it runs."""
        return self._popen.poll()

    def processes(self) -> list[psutil.Process]:
        """Return the living processes of the session, the command itself included; zombies are left out."""
        for process in psutil.process_iter():
            if process.pid not in self._seen and self._owns(process):
                self._seen[process.pid] = process
        self._seen = {pid: process for pid, process in self._seen.items() if _is_alive(process)}
        return list(self._seen.values())

    def command_lines(self) -> list[str]:
        """Return the command line of every living process, as the process has titled itself."""
        lines = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                lines.append(" ".join(process.cmdline()))
        return lines

    def last_lines(self, count: int) -> str:
        """Return the last ``count`` lines of the output."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-count:])

    def stop(self, *, grace_seconds: float) -> None:
        """
        End every process of the session: SIGINT to the command, then after the grace SIGKILL to what is left.

        :param grace_seconds: What the command gets to stop its own children.
        :raises RuntimeError: A process survived SIGKILL.
        """
        self.processes()
        if self.exit_code is None:
            self._popen.send_signal(signal.SIGINT)
            self._wait(grace_seconds)
        for _ in range(5):
            survivors = self.processes()
            if not survivors:
                break
            for process in survivors:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(survivors, timeout=5)
        self._wait(5)
        if survivors := self.processes():
            raise RuntimeError(f"still running after SIGKILL: {[process.pid for process in survivors]}")

    def _wait(self, seconds: float) -> None:
        """Wait for the command to end, noting what it starts meanwhile; return in any case."""
        deadline = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < deadline:
            self.processes()
            time.sleep(0.2)

    def _owns(self, process: psutil.Process) -> bool:
        try:
            if os.getsid(process.pid) == self.pid or process.ppid() in self._seen:
                return True
            return process.environ().get(MARK) == self._mark
        except (psutil.Error, OSError):
            return False


def living(pids: Iterable[int]) -> set[int]:
    """Return those of ``pids`` that are processes, zombies left out."""
    return {process.pid for process in psutil.process_iter() if _is_alive(process)} & set(pids)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
