"""
Large batches in little memory, and several clients at once.

The full size is measured by ``bench/emulator.py``.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from pathlib import Path

import anthropic
import pytest

from airflow_provider_claude_batch.emulator import EmulatorProcess
from tests.emulator.building import params, requests, results_by_id


def client_of(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="sk-ant-test", base_url=url, max_retries=0)


def peak_megabytes(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1000


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_a_body_of_tens_of_megabytes_is_accepted_and_served_in_little_memory():
    text = "x" * 20_000
    entries = [{"custom_id": f"row-{n}", "params": params(text, max_tokens=1)} for n in range(2000)]
    body = json.dumps({"requests": entries}, separators=(",", ":")).encode()
    assert len(body) > 40_000_000
    with EmulatorProcess(arguments=("--seconds-per-batch=0",)) as process, client_of(process.url) as client:
        before = peak_megabytes(process.pid)
        batch = client.post(
            "/v1/messages/batches", cast_to=anthropic.types.messages.MessageBatch, content=body
        )
        while client.messages.batches.retrieve(batch.id).processing_status != "ended":
            pass
        assert len(results_by_id(client, batch.id)) == 2000
        assert peak_megabytes(process.pid) - before < 20


def test_several_clients_are_served_at_once(emulator):
    made: list[str] = []

    def make() -> None:
        with client_of(emulator.url) as client:
            for _ in range(10):
                batch_id = client.messages.batches.create(requests=requests(20)).id
                assert len(results_by_id(client, batch_id)) == 20
                made.append(batch_id)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == len(emulator.batches) == 40


def test_results_are_shuffled(emulator, client):
    batch_id = client.messages.batches.create(requests=requests(100)).id
    ids = [line.custom_id for line in client.messages.batches.results(batch_id)]
    assert sorted(ids) == sorted(f"row-{number}" for number in range(100))
    assert ids != [f"row-{number}" for number in range(100)]
