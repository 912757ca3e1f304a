"""The most memory that task processes ever held, watched from outside."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from types import TracebackType

    from demo.airflow_standalone import AirflowStandalone

_LOOK_SECONDS = 0.05
_TASK_TITLE = re.compile(r"airflow worker -- [0-9a-f-]{36}\s*$")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


class PeakMemory:
    """
    Watch the task processes of an Airflow while in the ``with`` statement.

    Linux keeps the highest resident size of each process; it is read until the process has gone.
    """

    def __init__(self, airflow: AirflowStandalone) -> None:
        self.megabytes = 0.0
        self._root = airflow.pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            for process in psutil.Process(self._root).children(recursive=True):
                with suppress(psutil.Error, OSError):
                    if _TASK_TITLE.match(" ".join(process.cmdline())):
                        self._note(process.pid)

    def _note(self, pid: int) -> None:
        if found := _PEAK.search(Path(f"/proc/{pid}/status").read_text()):
            self.megabytes = max(self.megabytes, int(found[1]) / 1000)
