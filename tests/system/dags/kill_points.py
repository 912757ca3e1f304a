"""
Kill or stop a task process at a named point of its work, or after a number of steps, once for each point.

Lives in the process of a real task and observes it by the interpreter's own tracing: nothing is patched. A
mark, created exclusively in a folder of the run, says that a point was reached, and by which process.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

#: Packages whose steps are counted: ours line by line, what sends and reads for us call by call.
OURS = f"{os.sep}airflow_provider_claude_batch{os.sep}"
CALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("anthropic", "httpx2", "httpcore2", "fsspec", "s3fs"))

#: Names of the files with the steps that one process of a task took, written when a run asks for it.
STEPS = "steps-{task_id}-{pid}"

TraceFunction = Callable[[FrameType, str, Any], Any]


def observe(context: Mapping[str, Any]) -> None:
    """
    Observe the task process from here on: a ``pre_execute`` of every task of the crash test Dag.

    The run's params say what for. ``marks`` is a folder; ``points`` are dicts of ``task``, ``map_index``,
    ``point`` and ``signal``: each is for one process of its task, in order. A point is a sequence of events,
    such as ``Folder.put:call > Folder.put:return``, whose last one sends the signal, or ``step:N``.
    """
    params, task_id, map_index = context["params"], context["ti"].task_id, context["ti"].map_index
    marks = Path(params["marks"])
    for index, wanted in enumerate(params["points"]):
        is_ours = (wanted["task"], wanted["map_index"]) == (task_id, max(map_index, 0))
        if is_ours and not (marks / str(index)).exists():
            _trace(_observer(wanted["point"], _Signaller(marks / str(index), wanted["signal"])))
            return
    if params["count_steps"]:
        _trace(_StepObserver(_StepWriter(marks / STEPS.format(task_id=task_id, pid=os.getpid()))))


def _trace(function: TraceFunction) -> None:
    threading.settrace(function)
    sys.settrace(function)


def _observer(point: str, reached: Callable[[], None]) -> TraceFunction:
    kind, _, number = point.partition(":")
    if kind != "step":
        return _SequenceObserver([tuple(event.split(":")) for event in point.split(" > ")], reached)
    last = int(number)
    return _StepObserver(lambda step: reached() if step == last else None)


class _Signaller:
    """Sends the signal to this process, unless its mark is there already."""

    def __init__(self, mark: Path, name: str) -> None:
        self._mark = mark
        self._number = signal.Signals[name]

    def __call__(self) -> None:
        pids = {"pid": os.getpid(), "parent": os.getppid()}
        try:
            with self._mark.open("x") as file:
                json.dump(pids, file)
        except FileExistsError:
            return
        if self._number == signal.SIGSTOP:
            # The supervisor too: it would go on to send heartbeats.
            os.kill(pids["parent"], signal.SIGSTOP)
        os.kill(pids["pid"], self._number)


class _SequenceObserver:
    """Calls ``reached`` at the end of a sequence of calls and returns."""

    def __init__(self, events: Sequence[tuple[str, ...]], reached: Callable[[], None]) -> None:
        self._events = list(events)
        self._names = {name for name, _ in events}
        self._reached = reached

    def __call__(self, frame: FrameType, event: str, value: Any) -> TraceFunction | None:
        name = frame.f_code.co_qualname
        if name not in self._names:
            return None
        frame.f_trace_lines = False
        if self._events and self._events[0] == (name, event):
            del self._events[0]
            if not self._events:
                self._reached()
        return self


class _StepObserver:
    """Counts lines of our package and calls in those that work for it."""

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self._steps = 0
        self._kinds: dict[CodeType, str | None] = {}

    def __call__(self, frame: FrameType, event: str, value: Any) -> TraceFunction | None:
        code = frame.f_code
        if code not in self._kinds:
            self._kinds[code] = _kind(code.co_filename)
        kind = self._kinds[code]
        if kind is None or code.co_name == "<module>":
            return None
        if event == kind:
            self._steps += 1
            self._count(self._steps)
        return self if kind == "line" else None


def _kind(path: str) -> str | None:
    if OURS in path:
        return "line"
    return "call" if any(name in path for name in CALLED) else None


class _StepWriter:
    """Keeps a file with the steps so far, whenever the process ends."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT)

    def __call__(self, step: int) -> None:
        os.pwrite(self._file, str(step).encode(), 0)
