"""A submission without Airflow's processes: real tables, the real SDK, the emulator over a socket."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_claude_batch.emulator import Emulator
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from tests.provider.submitting import Submission


@pytest.fixture
def emulator(claude_batch_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", claude_batch_emulator.connection_json)
    return claude_batch_emulator


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a SQLite file with five rows behind the connection ``warehouse``."""
    path = tmp_path / "warehouse.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("create table items (id integer, body text)")
    connection.executemany(
        "insert into items values (?, ?)",
        [(i, f"{'apple' if i % 2 else 'iron'} is number {i}") for i in range(5)],
    )
    connection.commit()
    connection.close()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return path


@pytest.fixture
def submission(tmp_path: Path, table: Path, emulator: Emulator) -> Iterator[Submission]:
    hook = ClaudeBatchHook()
    with hook.client:
        yield Submission(ManifestFolder.at(str(tmp_path / "staging" / "g00")), tmp_path / "out", hook)
