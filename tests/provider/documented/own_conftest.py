"""The ``conftest.py`` of a user's own tests."""

# [START own_conftest]
import os
import tempfile
from pathlib import Path

import pytest

# Before Airflow is imported: its database and its records are the tests' own.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp()
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path("dags").resolve())

pytest_plugins = ["airflow_provider_claude_batch.emulator.pytest_plugin"]


@pytest.fixture(scope="session", autouse=True)
def metadata_database():
    from airflow.utils.db import initdb

    initdb()


# [END own_conftest]
