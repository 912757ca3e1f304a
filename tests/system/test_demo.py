"""``python -m demo`` as a user runs it: twice, interrupted in the middle, and twice at once."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from demo.process_session import ProcessSession, living
from tests.system.demo_run import REPOSITORY

pytestmark = [pytest.mark.airflow, pytest.mark.proof]


class DemoCommand:
    """A ``python -m demo`` in a folder of its own, and every process seen below it."""

    def __init__(self, folder: Path, *, log_name: str, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.session = ProcessSession(
            [sys.executable, "-m", "demo", "--folder", str(folder), *options],
            environment=dict(os.environ),
            folder=REPOSITORY,
            log_path=folder.with_name(log_name),
        )
        self.pids: set[int] = set()

    def wait(self, *, until: Callable[[str], bool] = lambda _: False, seconds: float = 600) -> str:
        """Return the output once ``until`` holds for it or the demo has ended."""
        deadline = time.monotonic() + seconds
        while self.session.exit_code is None and time.monotonic() < deadline:
            self.pids |= {process.pid for process in self.session.processes()}
            if until(self.session.last_lines(500)):
                break
            time.sleep(0.3)
        return self.session.last_lines(500)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the demo alone, not to what it has started."""
        psutil.Process(self.session.pid).send_signal(number)

    def left_behind(self) -> list[str]:
        """Return what is still there of the demo, by process id and by what command lines name."""
        found = [str(pid) for pid in living(self.pids)]
        for process in psutil.process_iter():
            try:
                if str(self.folder) in " ".join(process.cmdline()):
                    found.append(f"{process.pid} {process.cmdline()}")
            except psutil.Error:
                continue
        return found


StartDemo = Callable[..., DemoCommand]


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[StartDemo]:
    """Return a function that starts a demo in the test's folder, its output in a file of the given name."""
    started: list[DemoCommand] = []

    def start(log_name: str, *options: str) -> DemoCommand:
        started.append(DemoCommand(tmp_path / "demo", log_name=log_name, options=options))
        return started[-1]

    yield start
    for demo in started:
        demo.session.stop(grace_seconds=60)


def test_the_demo_labels_every_package_twice_and_leaves_no_process(start_demo: StartDemo):
    for log_name in ("first.log", "second.log"):
        demo = start_demo(log_name)
        output = demo.wait()
        assert demo.session.exit_code == 0, output
        assert len(demo.pids) > 10
        assert demo.left_behind() == []
        assert re.search(r"^rows: \d{3,} \(\d{3,} ok\)$", output, flags=re.MULTILINE), output
        assert "wait deferred" in output
        assert len(list((demo.folder / "labels").rglob("*.parquet"))) == 1


def test_a_failing_task_fails_the_demo_which_shows_the_log_and_leaves_no_process(
    start_demo: StartDemo, tmp_path: Path
):
    dag = (REPOSITORY / "example_dags" / "label_packages.py").read_text()
    dags_folder = tmp_path / "dags"
    dags_folder.mkdir()
    (dags_folder / "label_packages.py").write_text(dag.replace("from packages", "from no_such_table"))
    demo = start_demo("demo.log", "--dags", str(dags_folder))
    output = demo.wait()
    assert demo.session.exit_code == 1, output
    assert "WRONG: task submit, try 1, failed" in output
    assert "Table with name no_such_table does not exist" in output
    assert demo.left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["Airflow starts", "wait deferred"])
def test_an_interrupted_demo_leaves_no_process(number: signal.Signals, moment: str, start_demo: StartDemo):
    demo = start_demo("demo.log")
    assert moment in demo.wait(until=lambda output: moment in output)
    time.sleep(2)
    demo.send_signal(number)
    output = demo.wait(seconds=120)
    assert demo.session.exit_code == 130, output
    assert demo.left_behind() == []


def test_a_second_demo_in_the_same_folder_is_refused_and_the_first_stays_up(start_demo: StartDemo):
    first = start_demo("first.log", "--stay")
    assert "stays up at http" in first.wait(until=lambda output: "stays up at http" in output)
    second = start_demo("second.log")
    assert "a demo is running" in second.wait(seconds=60)
    assert second.session.exit_code == 1
    assert first.session.exit_code is None
    first.send_signal(signal.SIGINT)
    output = first.wait(seconds=120)
    assert first.session.exit_code == 0, output
    assert first.left_behind() == []
