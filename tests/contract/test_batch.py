"""Retrieve, list, cancel and delete."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.contract.shared_batch import params


@pytest.fixture(scope="module")
def three(api) -> list[str]:
    """Give the ids of three batches, newest first."""
    requests: list[Any] = [{"custom_id": "a", "params": params()}]
    return [api.client.messages.batches.create(requests=requests).id for _ in range(3)][::-1]


def test_a_batch_that_has_ended_says_so(api, shared_batch):
    batch = api.client.messages.batches.retrieve(shared_batch.id)
    assert batch.processing_status == "ended"
    assert batch.ended_at is not None
    assert batch.ended_at >= batch.created_at
    assert batch.request_counts.processing == 0
    assert batch.cancel_initiated_at is None
    assert batch.archived_at is None


def test_an_unknown_batch_is_not_found(api):
    for call in (api.client.messages.batches.retrieve, api.client.messages.batches.cancel):
        with pytest.raises(anthropic.NotFoundError) as caught:
            call("msgbatch_01AAAAAAAAAAAAAAAAAAAAAA")
        assert caught.value.type == "not_found_error"


def test_the_newest_batches_come_first(api, three):
    assert [batch.id for batch in api.client.messages.batches.list(limit=3).data] == three


def test_a_page_names_its_ends_and_says_if_there_is_more(api, three):
    page = api.http.get("/v1/messages/batches?limit=2").json()
    assert set(page) == {"data", "has_more", "first_id", "last_id"}
    assert (page["first_id"], page["last_id"], page["has_more"]) == (three[0], three[1], True)


def test_after_id_pages_to_the_older_ones(api, three):
    page = api.client.messages.batches.list(after_id=three[0], limit=1)
    assert [batch.id for batch in page.data] == [three[1]]
    assert page.has_more is True


def test_before_id_pages_to_the_newer_ones(api, three):
    page = api.client.messages.batches.list(before_id=three[2], limit=1)
    assert [batch.id for batch in page.data] == [three[1]]
    assert page.has_more is True
    page = api.client.messages.batches.list(before_id=three[1], limit=5)
    assert ([batch.id for batch in page.data], page.has_more) == ([three[0]], False)


def test_the_sdk_pages_through_without_a_gap_or_a_repeat(api, three):
    found = []
    for batch in api.client.messages.batches.list(limit=1):
        found.append(batch.id)
        if len(found) == 3:
            break
    assert found == three


def test_an_empty_page_has_no_ends(api, three):
    page = api.http.get(f"/v1/messages/batches?before_id={three[0]}").json()
    assert page == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many"])
def test_a_limit_must_be_from_1_to_1000(api, limit):
    response = api.http.get(f"/v1/messages/batches?limit={limit}")
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("limit: ")


def test_a_page_may_have_1_or_1000_batches_and_has_20_by_default(api, three):
    assert len(api.http.get("/v1/messages/batches?limit=1").json()["data"]) == 1
    assert api.http.get("/v1/messages/batches?limit=1000").status_code == 200
    assert len(api.http.get("/v1/messages/batches").json()["data"]) <= 20


def test_a_cancel_is_answered_with_a_batch_that_is_canceling(api, slow_batch_id):
    batch = api.client.messages.batches.cancel(slow_batch_id)
    assert batch.processing_status == "canceling"
    assert batch.cancel_initiated_at is not None
    assert batch.request_counts.processing == 2
    ended = api.ended(slow_batch_id)
    assert ended.cancel_initiated_at == batch.cancel_initiated_at
    assert sum(ended.request_counts.to_dict().values()) == 2


@pytest.fixture
def slow_batch_id(api, request) -> str:
    requests: list[Any] = [{"custom_id": name, "params": params()} for name in "ab"]
    if api.is_live:
        return str(api.client.messages.batches.create(requests=requests).id)
    emulator = request.getfixturevalue("emulator")
    emulator.settings(seconds_per_batch=3600)
    batch_id = str(api.client.messages.batches.create(requests=requests).id)
    emulator.settings(seconds_per_batch=0)
    return batch_id


def test_a_batch_that_has_not_ended_cannot_be_deleted(api, slow_batch_id):
    with pytest.raises(anthropic.APIStatusError) as caught:
        api.client.messages.batches.delete(slow_batch_id)
    assert 400 <= caught.value.status_code < 500
    api.client.messages.batches.cancel(slow_batch_id)


def test_a_deleted_batch_is_gone(api, three):
    api.ended(three[1])
    deleted = api.client.messages.batches.delete(three[1])
    assert deleted.to_dict() == {"id": three[1], "type": "message_batch_deleted"}
    with pytest.raises(anthropic.NotFoundError):
        api.client.messages.batches.retrieve(three[1])
    assert three[1] not in [batch.id for batch in api.client.messages.batches.list(limit=3).data]


def test_a_batch_that_has_ended_cannot_be_canceled(api, shared_batch):
    with pytest.raises(anthropic.APIStatusError) as caught:
        api.client.messages.batches.cancel(shared_batch.id)
    assert 400 <= caught.value.status_code < 500


def test_there_are_no_results_before_the_end(api, slow_batch_id):
    with pytest.raises(anthropic.AnthropicError, match="No `results_url` for the given batch"):
        api.client.messages.batches.results(slow_batch_id)
    response = api.http.get(f"/v1/messages/batches/{slow_batch_id}/results")
    assert response.status_code in (400, 404)
    api.client.messages.batches.cancel(slow_batch_id)
