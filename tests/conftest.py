"""Nothing of a developer's own Airflow is read or written: every test run has a home of its own."""

import os
import tempfile

_home = tempfile.TemporaryDirectory(prefix="claude_batch_tests_")
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"

pytest_plugins = ["airflow_provider_claude_batch.emulator.pytest_plugin"]


def pytest_unconfigure() -> None:
    _home.cleanup()
