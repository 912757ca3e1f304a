"""State that outlives the server, however it ends."""

from __future__ import annotations

import logging
import threading
import time

import anthropic
import pytest

from airflow_provider_claude_batch.emulator import Emulator, EmulatorProcess
from tests.emulator.building import requests, results_by_id


def client_of(url: str, timeout: float = 30) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="sk-ant-test", base_url=url, max_retries=0, timeout=timeout)


@pytest.fixture
def process(tmp_path):
    with EmulatorProcess(tmp_path / "state", arguments=("--seconds-per-batch=0",)) as process:
        yield process


class Creator(threading.Thread):
    """Creates batches until it cannot, and keeps the ids of those that were acknowledged."""

    def __init__(self, url: str, enough: threading.Event) -> None:
        super().__init__()
        self.url = url
        self.enough = enough
        self.acknowledged: list[str] = []

    def run(self) -> None:
        with client_of(self.url) as client:
            while True:
                try:
                    self.acknowledged.append(client.messages.batches.create(requests=requests(50)).id)
                except anthropic.APIConnectionError:
                    return
                if len(self.acknowledged) >= 5:
                    self.enough.set()


def test_killed_in_the_middle_of_creates_it_has_every_batch_it_acknowledged(process):
    enough = threading.Event()
    creators = [Creator(process.url, enough) for _ in range(3)]
    for creator in creators:
        creator.start()
    assert enough.wait(20)
    process.kill()
    for creator in creators:
        creator.join()
    process.start()
    acknowledged = {batch_id for creator in creators for batch_id in creator.acknowledged}
    listed = {batch["id"] for batch in process.batches}
    assert acknowledged <= listed
    assert len(listed - acknowledged) <= len(creators)
    assert list((process.state / "incoming").glob("*")) == []
    with client_of(process.url) as client:
        for batch_id in acknowledged:
            assert len(results_by_id(client, batch_id)) == 50


def test_killed_while_it_answers_it_answers_again(process):
    process.settings(seconds_per_batch=3600)
    with client_of(process.url) as client:
        batch_id = client.messages.batches.create(requests=requests(2000)).id
        process.kill()
        process.start()
        process.advance(3601)
        while client.messages.batches.retrieve(batch_id).processing_status != "ended":
            pass
        assert len(results_by_id(client, batch_id)) == 2000


def test_the_clock_the_faults_the_cache_and_the_bill_outlive_a_kill(process):
    system = [{"type": "text", "text": "x" * 400, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    process.set_time("2030-01-01T00:00:00Z")
    with client_of(process.url) as client:
        client.messages.batches.create(requests=requests(2, system=system))
        process.fail("list", status=529, times=2)
        with pytest.raises(anthropic.OverloadedError):
            client.messages.batches.list()
        bill = process.bill
        process.kill()
        process.start()
        assert process.time.startswith("2030-01-01T00:0")
        assert (process.faults_left, process.faults_used) == (1, 1)
        assert process.bill == bill
        batch_id = client.messages.batches.create(requests=requests(2, system=system)).id
        assert process.bill["by_batch"][batch_id]["cache_creation_1h_input_tokens"] == 0


def test_a_deleted_batch_stays_deleted_and_its_files_go(process):
    with client_of(process.url) as client:
        batch_id = client.messages.batches.create(requests=requests()).id
        client.messages.batches.delete(batch_id)
        process.stop()
        process.start()
        assert process.batches == []
        assert list((process.state / "batches").iterdir()) == []


def test_one_started_in_this_process_goes_on_with_the_same_state(tmp_path):
    with Emulator(tmp_path) as emulator, client_of(emulator.url) as client:
        batch_id = client.messages.batches.create(requests=requests()).id
    with Emulator(tmp_path) as emulator:
        assert [batch["id"] for batch in emulator.batches] == [batch_id]


def test_a_temporary_state_is_removed():
    with Emulator() as emulator:
        state = emulator.state
        assert state.exists()
    assert not state.exists()


def test_one_stopped_while_it_answers_stops_soon_and_in_silence(tmp_path, caplog):
    with Emulator(tmp_path) as emulator, client_of(emulator.url) as client:
        batch_id = client.messages.batches.create(requests=requests(20_000)).id
        assert client.messages.batches.retrieve(batch_id).processing_status == "in_progress"
        started = time.monotonic()
    assert time.monotonic() - started < 3
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
