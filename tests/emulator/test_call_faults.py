"""Every fault on a call, as the client sees it."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx2
import pytest

from tests.emulator.building import HEADERS, requests


def create(client: anthropic.Anthropic) -> str:
    return client.messages.batches.create(requests=requests()).id


def create_body() -> bytes:
    return json.dumps({"requests": requests()}).encode()


def test_accepted_but_the_answer_lost_by_a_reset(emulator, client):
    emulator.fail_once("create", after="accepted", with_="reset-connection")
    with pytest.raises(anthropic.APIConnectionError) as caught:
        create(client)
    assert isinstance(caught.value.__cause__, httpx2.ReadError)
    assert len(emulator.batches) == 1
    assert (emulator.faults_left, emulator.faults_used) == (0, 1)


def test_accepted_but_the_connection_closed_without_an_answer(emulator, client):
    emulator.fail_once("create", after="accepted", with_="close-connection")
    with pytest.raises(anthropic.APIConnectionError) as caught:
        create(client)
    assert isinstance(caught.value.__cause__, httpx2.RemoteProtocolError)
    assert len(emulator.batches) == 1
    assert emulator.faults_left == 0


def test_a_bad_gateway_after_acceptance_is_paid_twice_by_a_client_that_retries(emulator, client):
    emulator.fail_once("create", after="accepted", status=502, form="html")
    client.with_options(max_retries=1).messages.batches.create(requests=requests())
    assert len(emulator.batches) == 2
    assert emulator.calls.counts["create"] == {"502": 1, "200": 1}
    assert emulator.faults_left == 0


@pytest.mark.parametrize("stage", ["headers", "received"])
@pytest.mark.parametrize("how", ["reset-connection", "close-connection"])
def test_a_connection_broken_before_acceptance_leaves_nothing(emulator, client, stage, how):
    emulator.fail_once("create", after=stage, with_=how)
    with pytest.raises(anthropic.APIConnectionError):
        create(client)
    assert emulator.batches == []
    assert emulator.faults_left == 0
    assert emulator.calls.counts["create"] == {"no answer": 1}


def test_a_reset_in_the_middle_of_an_upload_leaves_nothing(emulator, client):
    emulator.fail_once("create", after="headers", with_="reset-connection")
    big = requests(2000, system="x" * 2000)
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.batches.create(requests=big)
    assert emulator.batches == []
    assert list((emulator.state / "incoming").glob("*")) == []
    assert emulator.faults_left == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (402, anthropic.PaymentRequiredError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (409, anthropic.ConflictError),
        (413, anthropic.ContentTooLargeError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (504, anthropic.GatewayTimeoutError),
        (529, anthropic.OverloadedError),
    ],
)
def test_a_status_on_order_becomes_the_error_of_the_sdk(emulator, client, status, error):
    emulator.fail("retrieve", status=status, times=1)
    batch_id = create(client)
    with pytest.raises(error) as caught:
        client.messages.batches.retrieve(batch_id)
    assert type(caught.value) is error
    assert caught.value.body["error"]["type"] == caught.value.type
    assert caught.value.request_id == caught.value.body["request_id"]
    assert emulator.faults_left == 0
    assert client.messages.batches.retrieve(batch_id).id == batch_id


def test_overloads_end_after_as_many_as_were_ordered(emulator, client):
    emulator.fail("create", status=529, retry_after=0.01, times=2)
    client.with_options(max_retries=2).messages.batches.create(requests=requests())
    assert emulator.calls.counts["create"] == {"529": 2, "200": 1}
    assert len(emulator.batches) == 1
    assert emulator.faults_left == 0


def test_a_rate_limit_tells_when_to_come_back(emulator, client):
    emulator.fail("list", status=429, retry_after=7)
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.batches.list()
    assert caught.value.response.headers["retry-after"] == "7"
    assert emulator.faults_left == 0


def test_a_spend_limit_has_a_code_and_no_time_to_come_back(emulator, client):
    emulator.set_time("2026-12-30T12:00:00Z")
    emulator.fail("create", with_="spend-limit")
    with pytest.raises(anthropic.EnforcedSpendLimitReachedError) as caught:
        create(client)
    assert "retry-after" not in caught.value.response.headers
    assert caught.value.body["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}
    assert "You will regain access on 2027-01-01 at 00:00 UTC." in str(caught.value)
    assert emulator.faults_left == 0


def test_an_acceleration_limit_has_its_own_error(emulator, client):
    emulator.fail("create", status=429, error_code="ramp_limit_exceeded", retry_after=1)
    with pytest.raises(anthropic.RampLimitExceededError):
        create(client)
    assert emulator.faults_left == 0


def test_a_live_batch_is_not_found_now_and_then(emulator, client):
    batch_id = create(client)
    emulator.fail("retrieve", status=404, times=2)
    for _ in range(2):
        with pytest.raises(anthropic.NotFoundError):
            client.messages.batches.retrieve(batch_id)
    assert client.messages.batches.retrieve(batch_id).id == batch_id
    assert emulator.faults_left == 0


def test_a_slow_answer_makes_the_client_give_up_after_the_batch_was_accepted(emulator, client):
    emulator.fail_once("create", after="accepted", with_="slow-answer", seconds=1)
    with pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=0.4).messages.batches.create(requests=requests())
    assert len(emulator.batches) == 1
    assert emulator.faults_left == 0


def test_a_slow_upload_takes_its_time(emulator, client):
    emulator.fail_once("create", with_="slow-upload", bytes_per_second=len(create_body()) / 0.3)
    started = time.monotonic()
    create(client)
    assert time.monotonic() - started >= 0.2
    assert emulator.faults_left == 0


def test_slow_results_take_their_time_and_are_whole(emulator, client):
    batch_id = create(client)
    emulator.fail_once("results", with_="slow-download", bytes_per_second=10_000)
    started = time.monotonic()
    assert len(list(client.messages.batches.results(batch_id))) == 3
    assert time.monotonic() - started >= 0.05
    assert emulator.faults_left == 0


def test_a_list_lags_behind_a_create(emulator, client):
    emulator.settings(seconds_per_batch=3600)
    old = create(client)
    emulator.advance(60)
    create(client)
    emulator.fail("list", with_="lag", seconds=30, times=1)
    assert [batch.id for batch in client.messages.batches.list().data] == [old]
    assert len(client.messages.batches.list().data) == 2
    assert emulator.faults_left == 0


@pytest.mark.parametrize("at", ["line-middle", "line-end"])
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_results_that_are_cut_break_the_stream(emulator, client, framing, at):
    batch_id = create(client)
    emulator.fail_once("results", with_="cut-results", lines=2, at=at, framing=framing)
    url = f"{emulator.url}/v1/messages/batches/{batch_id}/results"
    pieces: list[bytes] = []
    with httpx2.stream("GET", url, headers=HEADERS) as response, pytest.raises(httpx2.RemoteProtocolError):
        pieces.extend(response.iter_raw())
    received = b"".join(pieces)
    assert ("content-length" in response.headers) is (framing == "content-length")
    assert received.count(b"\n") == 2
    assert received.endswith(b"\n") is (at == "line-end")
    assert emulator.faults_left == 0


@pytest.mark.parametrize("at", ["line-middle", "line-end"])
def test_results_of_no_announced_length_are_cut_in_silence(emulator, client, at):
    batch_id = create(client)
    emulator.fail_once("results", with_="cut-results", lines=2, at=at, framing="none")
    response = httpx2.get(f"{emulator.url}/v1/messages/batches/{batch_id}/results", headers=HEADERS)
    assert response.status_code == 200
    assert not {"content-length", "transfer-encoding"} & set(response.headers)
    assert response.content.count(b"\n") == 2
    assert response.content.endswith(b"\n") is (at == "line-end")
    assert emulator.faults_left == 0


def test_the_sdk_raises_on_a_cut_line(emulator, client):
    batch_id = create(client)
    emulator.fail_once("results", with_="cut-results", lines=1)
    with pytest.raises(httpx2.RemoteProtocolError):
        list(client.messages.batches.results(batch_id))
    assert emulator.faults_left == 0


def test_a_body_too_large_may_be_answered_by_a_proxy(emulator, client):
    emulator.fail("create", status=413, form="html")
    with pytest.raises(anthropic.ContentTooLargeError) as caught:
        create(client)
    assert "<title>413 Request Entity Too Large</title>" in caught.value.response.text
    assert emulator.faults_left == 0


def test_a_fault_without_a_limit_strikes_until_it_is_cleared(emulator, client):
    emulator.fail("list", status=500, times=None)
    for _ in range(3):
        with pytest.raises(anthropic.InternalServerError):
            client.messages.batches.list()
    assert (emulator.faults_left, emulator.faults_used) == (0, 3)
    emulator.clear_faults()
    assert client.messages.batches.list().data == []


def test_faults_strike_one_after_the_other_in_the_order_they_were_ordered(emulator, client):
    emulator.fail("list", status=500)
    emulator.fail("list", status=529)
    with pytest.raises(anthropic.InternalServerError):
        client.messages.batches.list()
    with pytest.raises(anthropic.OverloadedError):
        client.messages.batches.list()
    assert [call["fault"] for call in emulator.calls] == ["status", "status"]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"operation": "create", "with_": "doubled"}, "'create' cannot fail with 'doubled'"),
        ({"operation": "lines", "with_": "lag"}, "'lines' cannot fail with 'lag'"),
        ({"operation": "create"}, "a fault with 'status' needs a status"),
        ({"operation": "create", "status": 500, "tmies": 2}, "unknown field"),
        ({"operation": "explode", "status": 500}, "Invalid enum value"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(emulator, order, message):
    with pytest.raises(ValueError, match=message):
        emulator.fail(**order)
    assert emulator.faults_left == 0


def test_one_fault_strikes_one_of_many_calls_at_once(emulator, client):
    emulator.fail("create", after="accepted", status=529, times=3)

    def made(_: int) -> bool:
        try:
            client.messages.batches.create(requests=requests(200))
        except anthropic.OverloadedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(made, range(16)))
    assert outcomes.count(False) == 3
    assert (emulator.faults_left, emulator.faults_used) == (0, 3)
    assert len(emulator.batches) == 16


def test_a_fault_that_the_call_never_came_to_waits_for_the_next(emulator, client):
    emulator.fail_once("create", after="accepted", with_="reset-connection")
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.create(requests=[])
    assert (emulator.faults_left, emulator.faults_used) == (1, 0)
    with pytest.raises(anthropic.APIConnectionError):
        create(client)
    assert emulator.faults_left == 0


def test_a_list_that_lags_still_fills_its_pages(emulator, client):
    emulator.settings(seconds_per_batch=3600)
    old = [create(client) for _ in range(3)]
    emulator.advance(60)
    create(client)
    emulator.fail("list", with_="lag", seconds=30, times=3)
    assert [batch.id for batch in client.messages.batches.list(limit=1)] == old[::-1]
