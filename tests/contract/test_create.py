"""Create, and what it refuses at once."""

from __future__ import annotations

import http.client
import json
from typing import Any

import httpx2
import pytest

from tests.contract.shared_batch import params

FIELDS = {
    "id",
    "type",
    "processing_status",
    "request_counts",
    "ended_at",
    "created_at",
    "expires_at",
    "archived_at",
    "cancel_initiated_at",
    "results_url",
}


def post(api: Any, requests: Any, **headers: str) -> httpx2.Response:
    body = json.dumps({"requests": requests}).encode()
    return api.http.post(
        "/v1/messages/batches", content=body, headers={"content-type": "application/json", **headers}
    )


def entry(custom_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "params": params(**changes)}


def refused(api: Any, requests: Any) -> str:
    response = post(api, requests)
    body = response.json()
    assert response.status_code == 400
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["request_id"] == response.headers["request-id"]
    return str(body["error"]["message"])


def test_all_ten_fields_are_there_and_the_unknown_ones_are_null(api):
    response = post(api, [entry("a"), entry("b")])
    body = response.json()
    assert set(body) == FIELDS
    assert body["type"] == "message_batch"
    assert body["processing_status"] == "in_progress"
    assert body["request_counts"] == {
        "processing": 2,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    assert [body[name] for name in ("ended_at", "archived_at", "cancel_initiated_at", "results_url")] == [
        None
    ] * 4
    assert body["id"].startswith("msgbatch_")


def test_times_are_utc_with_microseconds_and_it_expires_after_24_hours(api):
    body = post(api, [entry()]).json()
    assert body["created_at"].endswith("Z")
    assert len(body["created_at"].partition(".")[2]) == len("000000Z")
    batch = api.client.messages.batches.retrieve(body["id"])
    assert (batch.expires_at - batch.created_at).total_seconds() == 24 * 3600


@pytest.mark.parametrize("custom_id", ["", "a b", "a.b", "a:b", "a|b", "ä", "x" * 65])
def test_one_bad_custom_id_refuses_the_whole_batch_at_once(api, custom_id):
    message = refused(api, [entry("good"), entry(custom_id)])
    assert message == "requests.1.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"


def test_a_custom_id_may_have_64_characters(api):
    assert post(api, [entry("aZ0_-" + "x" * 59)]).status_code == 200


def test_a_doubled_custom_id_is_refused(api):
    assert "unique" in refused(api, [entry(), entry()])


def test_an_empty_list_is_refused(api):
    assert refused(api, []).startswith("requests")


def test_more_than_100000_requests_are_refused(api):
    if api.is_live:
        pytest.skip("sends megabytes to be refused")
    message = refused(api, [{"custom_id": f"r{number}", "params": {}} for number in range(100_001)])
    assert message.startswith("requests: ")


def test_a_body_over_256_megabytes_is_refused_before_it_is_sent(api):
    if api.is_live:
        pytest.skip("the proxy in front of the API may wait for the body")
    connection = http.client.HTTPConnection(api.url.removeprefix("http://"))
    connection.putrequest("POST", "/v1/messages/batches")
    for name, value in {**api.http.headers, "content-length": "256000001"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, json.load(response)["error"]["type"]) == (413, "request_too_large")
    connection.close()


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"requests": 1}'])
def test_a_body_that_is_no_create_is_refused(api, body):
    response = api.http.post(
        "/v1/messages/batches", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_wrong_params_do_not_fail_the_create(api):
    assert post(api, [entry(temperature=3, max_tokens=-1)]).status_code == 200


def test_the_query_of_older_clients_is_ignored(api):
    body = json.dumps({"requests": [entry()]}).encode()
    headers = {"content-type": "application/json", "anthropic-beta": "message-batches-2024-09-24"}
    response = api.http.post("/v1/messages/batches?beta=true", content=body, headers=headers)
    assert response.status_code == 200


def test_the_beta_client_creates_too(api):
    batch = api.client.beta.messages.batches.create(requests=[entry()])
    assert batch.processing_status == "in_progress"


def test_two_creates_with_one_idempotency_key_are_two_batches(api):
    ids = {post(api, [entry()], **{"idempotency-key": "the-same"}).json()["id"] for _ in range(2)}
    assert len(ids) == 2


def test_the_key_may_come_in_either_header(api):
    key = api.http.headers["authorization"].removeprefix("Bearer ")
    headers = {"anthropic-version": "2023-06-01", "x-api-key": key}
    assert httpx2.get(f"{api.url}/v1/messages/batches?limit=1", headers=headers).status_code == 200


def test_both_api_versions_are_served(api):
    for version in ("2023-06-01", "2026-10-21"):
        response = api.http.get("/v1/messages/batches?limit=1", headers={"anthropic-version": version})
        assert response.status_code == 200


def test_a_call_without_a_key_is_not_authenticated(api):
    headers = {"anthropic-version": "2026-10-21"}
    response = httpx2.get(f"{api.url}/v1/messages/batches", headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("version", [None, "1999-01-01"])
def test_a_call_without_a_known_version_is_refused(api, version):
    headers = {"authorization": api.http.headers["authorization"]}
    if version:
        headers["anthropic-version"] = version
    response = httpx2.get(f"{api.url}/v1/messages/batches", headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert "anthropic-version" in response.json()["error"]["message"]


def test_every_answer_carries_its_request_id_and_who_was_served(api):
    for path in ("/v1/messages/batches?limit=1", "/v1/messages/batches?limit=0"):
        response = api.http.get(path)
        assert response.headers["request-id"].startswith("req_")
        assert response.headers["anthropic-organization-id"]
