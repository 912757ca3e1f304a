"""Batches over time: all of it on the emulator's own clock."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import anthropic
import pytest

from tests.emulator.building import params, requests, results_by_id

START = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def create(emulator, client):
    def create(count: int = 10, *, seconds: float = 1000) -> str:
        emulator.set_time(START.isoformat())
        emulator.settings(seconds_per_batch=seconds)
        return client.messages.batches.create(requests=requests(count)).id

    return create


def counts_of(batch: anthropic.types.messages.MessageBatch) -> dict[str, int]:
    return {name: n for name, n in batch.request_counts.to_dict().items() if n}


def test_counts_stay_frozen_until_the_whole_batch_has_ended(emulator, client, create):
    batch_id = create()
    for _ in range(3):
        emulator.advance(300)
        batch = client.messages.batches.retrieve(batch_id)
        assert (batch.processing_status, counts_of(batch)) == ("in_progress", {"processing": 10})
        assert (batch.ended_at, batch.results_url) == (None, None)
    emulator.advance(101)
    batch = client.messages.batches.retrieve(batch_id)
    assert (batch.processing_status, counts_of(batch)) == ("ended", {"succeeded": 10})
    assert batch.ended_at - batch.created_at == timedelta(seconds=1000)


def test_an_ended_batch_stays_ended_when_the_clock_goes_back(emulator, client, create):
    batch_id = create()
    emulator.advance(1001)
    ended = client.messages.batches.retrieve(batch_id)
    emulator.set_time(START.isoformat())
    assert client.messages.batches.retrieve(batch_id) == ended


def test_canceling_takes_time_and_keeps_what_was_finished(emulator, client, create):
    batch_id = create()
    emulator.settings(seconds_to_cancel=100)
    emulator.advance(300)
    batch = client.messages.batches.cancel(batch_id)
    assert (batch.processing_status, counts_of(batch)) == ("canceling", {"processing": 10})
    assert batch.cancel_initiated_at - batch.created_at == pytest.approx(
        timedelta(seconds=300), abs=timedelta(seconds=5)
    )
    emulator.advance(50)
    again = client.messages.batches.cancel(batch_id)
    assert again == client.messages.batches.retrieve(batch_id) == batch
    emulator.advance(51)
    batch = client.messages.batches.retrieve(batch_id)
    assert (batch.processing_status, counts_of(batch)) == ("ended", {"succeeded": 4, "canceled": 6})
    assert Counter(result.type for result in results_by_id(client, batch_id).values()) == counts_of(batch)


def test_a_cancel_may_come_too_late_to_cancel_anything(emulator, client, create):
    batch_id = create()
    emulator.settings(seconds_to_cancel=100)
    emulator.advance(950)
    client.messages.batches.cancel(batch_id)
    emulator.advance(51)
    batch = client.messages.batches.retrieve(batch_id)
    assert batch.cancel_initiated_at is not None
    assert counts_of(batch) == {"succeeded": 10}


def test_what_is_unfinished_after_24_hours_expires(emulator, client, create):
    batch_id = create(seconds=48 * 3600)
    emulator.advance(24 * 3600 - 60)
    assert client.messages.batches.retrieve(batch_id).processing_status == "in_progress"
    emulator.advance(61)
    batch = client.messages.batches.retrieve(batch_id)
    assert counts_of(batch) == {"succeeded": 5, "expired": 5}
    assert batch.ended_at == batch.expires_at == batch.created_at + timedelta(hours=24)
    assert Counter(result.type for result in results_by_id(client, batch_id).values()) == counts_of(batch)


def test_results_are_kept_29_days_from_the_creation_and_then_archived(emulator, client, create):
    batch_id = create(seconds=20 * 3600)
    emulator.advance(29 * 24 * 3600 - 60)
    assert len(results_by_id(client, batch_id)) == 10
    emulator.advance(61)
    batch = client.messages.batches.retrieve(batch_id)
    assert batch.archived_at == batch.created_at + timedelta(days=29)
    assert (batch.processing_status, batch.results_url, counts_of(batch)) == (
        "ended",
        None,
        {"succeeded": 10},
    )
    with pytest.raises(anthropic.NotFoundError):
        client.get(f"/v1/messages/batches/{batch_id}/results", cast_to=object)


def test_neither_canceled_nor_expired_requests_are_billed(emulator, client, create):
    batch_id = create()
    emulator.advance(500)
    client.messages.batches.cancel(batch_id)
    assert emulator.bill["by_batch"][batch_id]["requests"] == 5


@pytest.mark.parametrize("moment", ["2027-01-01T00:00:00Z", "2027-01-01T00:00:00", START.timestamp()])
def test_the_clock_can_be_set(emulator, client, moment):
    emulator.set_time(moment)
    expected = START if isinstance(moment, float) else datetime(2027, 1, 1, tzinfo=UTC)
    created_at = client.messages.batches.create(requests=requests()).created_at
    assert created_at - expected == pytest.approx(timedelta(0), abs=timedelta(seconds=5))


def test_a_time_that_is_none_is_refused(emulator):
    with pytest.raises(ValueError, match="time: Invalid isoformat string"):
        emulator.set_time("tomorrow")


def test_whatever_the_answers_hold_a_canceled_batch_ends(emulator, client):
    emulator.settings(seconds_per_batch=1000)
    emulator.fail("lines", with_="lone-surrogate", custom_ids=["row-0"])
    texts = ["Plain.", r"An escape \ud800 that is text.", "Line\nbreak \u2028 and \ufdd0 tab\t."]
    entries = [{"custom_id": f"row-{n}", "params": params(text)} for n, text in enumerate(texts)]
    batch_id = client.messages.batches.create(requests=entries).id
    emulator.advance(999)
    client.messages.batches.cancel(batch_id)
    assert counts_of(client.messages.batches.retrieve(batch_id)) == {"succeeded": 2, "canceled": 1}
