"""``python -m demo``: run the demo below ``.demo``; with ``--stay``, keep Airflow's UI up afterwards."""

import argparse
import fcntl
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.run import run_demo

EXAMPLE_DAGS = Path(__file__).parent.parent / "example_dags"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoRunningError(RuntimeError):
    """Another demo runs in the same folder."""


def main() -> int:
    """Run the demo and return its exit code: 0 all well, 1 something went wrong, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="keep Airflow up after the run, until Ctrl-C")
    parser.add_argument(
        "--folder", type=Path, default=Path(".demo"), help="wiped at the start (default: .demo)"
    )
    parser.add_argument(
        "--dags", type=Path, default=EXAMPLE_DAGS, help="holds the Dag (default: example_dags)"
    )
    arguments = parser.parse_args()
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt_once)
    try:
        with fresh_folder(arguments.folder) as folder:
            found = run_demo(folder, dags_folder=arguments.dags, stay=arguments.stay)
    except KeyboardInterrupt:
        print("interrupted; every process has been stopped", file=sys.stderr)
        return 130
    except DemoRunningError as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if found else 0


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """
    Empty ``folder``, and hold it against a second demo.

    :raises DemoRunningError: A demo runs in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock_path = folder / "lock"
    with lock_path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoRunningError(f"a demo is running in {folder.resolve()}; stop it first") from None
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != lock_path:
                entry.unlink()
        yield folder


def _interrupt_once(*_: object) -> None:
    """Raise KeyboardInterrupt, and let nothing interrupt the stopping that follows."""
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
