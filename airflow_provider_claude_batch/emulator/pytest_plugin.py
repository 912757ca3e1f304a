"""
A fixture with a fresh emulator for every test.

Switched on in a ``conftest.py`` by ``pytest_plugins =
["airflow_provider_claude_batch.emulator.pytest_plugin"]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_claude_batch.emulator.handle import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def claude_batch_emulator(tmp_path: Path) -> Iterator[Emulator]:
    """
    Give an emulator whose batches end at once.

    ``claude_batch_emulator.connection_json`` is the value for ``AIRFLOW_CONN_ANTHROPIC_DEFAULT``.
    """
    with Emulator(tmp_path / "claude-batch-emulator") as emulator:
        yield emulator
