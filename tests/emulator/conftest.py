from __future__ import annotations

from typing import TYPE_CHECKING

import anthropic
import pytest

from airflow_provider_claude_batch.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def client(emulator: Emulator) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        api_key="sk-ant-test", base_url=emulator.url, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client
