"""
The API that the contract tests run against: the emulator, or with ``--live`` the real one.

Live runs need ANTHROPIC_API_KEY and cost cents: small requests to the cheapest model, and one batch that all
tests about results share.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import pytest

from airflow_provider_claude_batch.emulator import Emulator
from tests.contract.shared_batch import SHARED_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anthropic.types.messages import MessageBatch

LIVE_URL = "https://api.anthropic.com"
LIVE_PATIENCE_SECONDS = 3600


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="run the contract tests against the real API")


@dataclass(frozen=True, slots=True)
class Api:
    """
    An API under test.

    :param http: A bare client with the usual headers, for what the SDK hides.
    """

    url: str
    client: anthropic.Anthropic
    http: httpx2.Client
    is_live: bool

    def ended(self, batch_id: str) -> MessageBatch:
        """Wait for a batch to end."""
        deadline = time.monotonic() + (LIVE_PATIENCE_SECONDS if self.is_live else 20)
        while (batch := self.client.messages.batches.retrieve(batch_id)).processing_status != "ended":
            assert time.monotonic() < deadline, f"{batch_id} did not end"
            time.sleep(10 if self.is_live else 0.01)
        return batch

    def results(self, batch_id: str) -> dict[str, Any]:
        """Return the results of an ended batch by custom_id."""
        return {line.custom_id: line.result for line in self.client.messages.batches.results(batch_id)}


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with Emulator(seconds_to_cancel=0.2) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    is_live = request.config.getoption("--live", default=False)
    if is_live and not os.environ.get("ANTHROPIC_API_KEY"):
        pytest.skip("--live needs ANTHROPIC_API_KEY")
    url = LIVE_URL if is_live else request.getfixturevalue("emulator").url
    key = os.environ["ANTHROPIC_API_KEY"] if is_live else "sk-ant-emulator"
    headers = {"authorization": f"Bearer {key}", "anthropic-version": "2026-10-21"}
    client = anthropic.Anthropic(api_key=key, base_url=url, _strict_response_validation=True)
    with client, httpx2.Client(base_url=url, headers=headers, timeout=60) as http:
        yield Api(url, client, http, is_live)


@pytest.fixture(scope="session")
def shared_batch(api: Api) -> MessageBatch:
    """Give one ended batch that holds a request for every rule about results."""
    created = api.client.messages.batches.create(requests=SHARED_REQUESTS)
    return api.ended(created.id)


@pytest.fixture(scope="session")
def shared_results(api: Api, shared_batch: MessageBatch) -> dict[str, Any]:
    return api.results(shared_batch.id)
