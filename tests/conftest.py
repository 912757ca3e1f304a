"""Nothing of a developer's own Airflow is read or written: every test run has a home of its own."""

import os
import tempfile
from pathlib import Path

import pytest

_SYSTEM = Path(__file__).parent / "system"

_home = tempfile.TemporaryDirectory(prefix="claude_batch_tests_")
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"

pytest_plugins = ["airflow_provider_claude_batch.emulator.pytest_plugin"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep all that needs a real Airflow in one process, which shares it."""
    for item in items:
        if item.path.is_relative_to(_SYSTEM):
            item.add_marker(pytest.mark.xdist_group("airflow"))


def pytest_unconfigure() -> None:
    _home.cleanup()
