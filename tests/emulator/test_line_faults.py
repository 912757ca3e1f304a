"""Every fault in the lines of the results, and of a batch as a whole, as the client sees it."""

from __future__ import annotations

import json
from collections import Counter

import httpx2
import msgspec
import pytest

from tests.emulator.building import labelled, requests, result_lines, results_by_id


@pytest.fixture
def run(emulator, client):
    def run(count: int = 20, **changes: object) -> str:
        return client.messages.batches.create(requests=requests(count, **changes)).id

    return run


def counts_of(client, batch_id: str) -> dict[str, int]:
    return {
        name: n
        for name, n in client.messages.batches.retrieve(batch_id).request_counts.to_dict().items()
        if n
    }


def test_a_share_of_lines_is_errored_with_the_type_that_was_ordered(emulator, client, run):
    emulator.fail("lines", with_="errored", share=0.25, error_type="overloaded_error", message="Overloaded")
    batch_id = run()
    errors = [result.error for result in results_by_id(client, batch_id).values() if result.type == "errored"]
    assert {(error.error.type, error.error.message) for error in errors} == {
        ("overloaded_error", "Overloaded")
    }
    assert all(error.request_id.startswith("req_") for error in errors)
    assert counts_of(client, batch_id) == {"succeeded": 15, "errored": 5}
    assert emulator.faults_left == 0


@pytest.mark.parametrize("kind", ["expired", "canceled"])
def test_lines_are_expired_or_canceled_and_not_billed(emulator, client, run, kind):
    emulator.fail("lines", with_=kind, count=4)
    batch_id = run()
    assert counts_of(client, batch_id) == {"succeeded": 16, kind: 4}
    assert Counter(result.type for result in results_by_id(client, batch_id).values())[kind] == 4
    assert emulator.bill["by_batch"][batch_id]["requests"] == 16
    assert emulator.faults_left == 0


@pytest.mark.parametrize("kind", ["refusal", "max_tokens", "pause_turn", "model_context_window_exceeded"])
def test_lines_stop_early_and_are_succeeded_and_billed(emulator, client, run, kind):
    emulator.fail("lines", with_=kind, custom_ids=["row-3", "row-4"])
    batch_id = run()
    results = results_by_id(client, batch_id)
    stopped = {custom_id for custom_id, result in results.items() if result.message.stop_reason == kind}
    assert stopped == {"row-3", "row-4"}
    details = results["row-3"].message.stop_details
    assert (details is not None and details.type == "refusal") is (kind == "refusal")
    assert counts_of(client, batch_id) == {"succeeded": 20}
    assert emulator.bill["by_batch"][batch_id]["requests"] == 20
    assert emulator.faults_left == 0


def test_a_line_is_truncated(emulator, client, run):
    emulator.fail("lines", with_="max_tokens", custom_ids=["row-0"])
    results = results_by_id(client, run(2, **labelled()))
    with pytest.raises(json.JSONDecodeError):
        json.loads(results["row-0"].message.content[0].text)
    json.loads(results["row-1"].message.content[0].text)
    assert emulator.faults_left == 0


def test_a_line_is_invalid_against_the_schema(emulator, client, run):
    emulator.fail("lines", with_="invalid-output", custom_ids=["row-0"])
    results = results_by_id(client, run(2, **labelled()))
    assert json.loads(results["row-0"].message.content[0].text) == {"not_in_the_schema": True}
    assert results["row-0"].message.stop_reason == "end_turn"
    assert emulator.faults_left == 0


def test_lines_are_doubled(emulator, client, run):
    emulator.fail("lines", with_="doubled", count=2)
    batch_id = run()
    ids = Counter(json.loads(line)["custom_id"] for line in result_lines(emulator.url, batch_id))
    assert sorted(ids.values()) == [1] * 18 + [2] * 2
    assert counts_of(client, batch_id) == {"succeeded": 20}
    assert emulator.faults_left == 0


def test_lines_are_foreign(emulator, client, run):
    emulator.fail("lines", with_="foreign", count=2)
    batch_id = run()
    ids = {json.loads(line)["custom_id"] for line in result_lines(emulator.url, batch_id)}
    assert len(ids) == 22
    assert len(ids - {f"row-{number}" for number in range(20)}) == 2
    assert counts_of(client, batch_id) == {"succeeded": 20}
    assert emulator.faults_left == 0


def test_lines_are_missing(emulator, client, run):
    emulator.fail("lines", with_="missing", share=0.1)
    batch_id = run()
    assert len(result_lines(emulator.url, batch_id)) == 18
    assert counts_of(client, batch_id) == {"succeeded": 20}
    assert emulator.faults_left == 0


@pytest.mark.parametrize("changes", [{}, labelled()])
def test_a_line_holds_a_lone_surrogate_escape(emulator, run, changes):
    emulator.fail("lines", with_="lone-surrogate", custom_ids=["row-0"])
    lines = result_lines(emulator.url, run(2, **changes))
    (line,) = (line for line in lines if b"\\ud800" in line)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(line)
    text = json.loads(line)["result"]["message"]["content"][0]["text"]
    assert "\ud800" in text
    if changes:
        assert json.loads(text)["why"].endswith("\ud800")
    assert emulator.faults_left == 0


def test_one_fault_strikes_as_many_batches_as_were_ordered(emulator, client, run):
    emulator.fail("lines", with_="errored", times=2)
    assert [counts_of(client, run()).get("errored", 0) for _ in range(3)] == [1, 1, 0]
    assert (emulator.faults_left, emulator.faults_used) == (0, 2)


def test_line_faults_are_kept_where_a_batch_is_canceled_half_way(emulator, client, run):
    emulator.settings(seconds_per_batch=100)
    emulator.fail("lines", with_="errored", share=1.0)
    batch_id = run()
    emulator.advance(50)
    client.messages.batches.cancel(batch_id)
    assert counts_of(client, batch_id) == {"errored": 10, "canceled": 10}


def test_a_batch_never_ends(emulator, client, run):
    emulator.fail("batch", with_="never-ends")
    stuck, other = run(), run()
    for _ in range(2):
        batch = client.messages.batches.retrieve(stuck)
        assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 20)
        emulator.advance(24 * 3600)
    assert client.messages.batches.retrieve(other).processing_status == "ended"
    client.messages.batches.cancel(stuck)
    emulator.advance(3600)
    assert client.messages.batches.retrieve(stuck).processing_status == "canceling"
    assert emulator.faults_left == 0


def test_all_connections_are_still_served_while_one_waits(emulator, client, run):
    emulator.fail("list", with_="slow-answer", seconds=30)
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.get(
            f"{emulator.url}/v1/messages/batches",
            headers={"x-api-key": "k", "anthropic-version": "2023-06-01"},
            timeout=0.1,
        )
    assert counts_of(client, run()) == {"succeeded": 20}
