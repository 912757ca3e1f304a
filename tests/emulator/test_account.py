"""The limits of the account, its keys and workspaces, its bill."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal

import anthropic
import httpx2
import pytest

from tests.emulator.building import HEADERS, answer_to, labelled, params, requests, results_by_id

WRITER = {
    "system": [{"type": "text", "text": "x" * 4000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
}
SHORT = {"system": [{"type": "text", "text": "x" * 4000, "cache_control": {"type": "ephemeral"}}]}


def post(url: str, body: bytes, **headers: str) -> httpx2.Response:
    return httpx2.post(f"{url}/v1/messages/batches", content=body, headers=HEADERS | headers)


def create_body(count: int = 3) -> bytes:
    return json.dumps({"requests": requests(count)}).encode()


def test_a_body_of_which_the_last_byte_never_comes_accepts_nothing(emulator, client):
    body = create_body()

    def unfinished():
        yield body[:-1]
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        httpx2.post(
            f"{emulator.url}/v1/messages/batches",
            content=unfinished(),
            headers={**HEADERS, "content-length": str(len(body))},
        )
    client.messages.batches.create(requests=requests())
    assert len(emulator.batches) == 1


def test_a_body_over_the_limit_is_refused_in_json(emulator, client):
    emulator.settings(max_body_bytes=300)
    with pytest.raises(anthropic.ContentTooLargeError) as caught:
        client.messages.batches.create(requests=requests(5))
    assert caught.value.body["error"] == {
        "type": "request_too_large",
        "message": "Request exceeds the maximum size",
    }
    assert emulator.batches == []


def test_a_body_over_the_limit_is_refused_in_html(emulator, client):
    emulator.settings(max_body_bytes=300, too_large_form="html")
    with pytest.raises(anthropic.ContentTooLargeError) as caught:
        client.messages.batches.create(requests=requests(5))
    assert caught.value.response.text.startswith("<html>")
    assert emulator.batches == []


def test_a_body_of_unknown_length_over_the_limit_is_refused(emulator):
    emulator.settings(max_body_bytes=300)
    response = httpx2.post(
        f"{emulator.url}/v1/messages/batches", content=iter([create_body(5)]), headers=HEADERS
    )
    assert response.status_code == 413


def test_a_gzipped_body_is_accepted_and_its_size_counts_unpacked(emulator):
    body = create_body(100)
    assert (
        post(emulator.url, gzip.compress(body), **{"content-encoding": "gzip"}).json()["request_counts"][
            "processing"
        ]
        == 100
    )
    emulator.settings(max_body_bytes=len(body) - 1)
    assert post(emulator.url, gzip.compress(body), **{"content-encoding": "gzip"}).status_code == 413


@pytest.mark.parametrize(
    ("encoding", "code"),
    [("br", "request_body_encoding_unsupported"), ("gzip", "request_body_encoding_invalid")],
)
def test_other_encodings_are_refused(emulator, encoding, code):
    response = post(emulator.url, create_body(), **{"content-encoding": encoding})
    assert response.status_code == 400
    assert response.json()["error"]["details"] == {"error_code": code}


def test_answers_are_gzipped_where_that_is_set(emulator, client):
    emulator.settings(gzip_answers=True)
    batch_id = client.messages.batches.create(requests=requests(50)).id
    response = httpx2.get(f"{emulator.url}/v1/messages/batches/{batch_id}/results", headers=HEADERS)
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.content.splitlines()) == 50
    assert len(results_by_id(client, batch_id)) == 50


def test_an_idempotency_key_is_accepted_and_ignored(emulator):
    for _ in range(2):
        assert post(emulator.url, create_body(), **{"idempotency-key": "one"}).status_code == 200
    assert len(emulator.batches) == 2


@pytest.mark.parametrize(("tier", "allowed"), [("start", 200_000), ("build", 300_000), ("scale", 500_000)])
def test_the_tier_sets_the_queue_limit(emulator, tier, allowed):
    emulator.settings(tier=tier)
    response = httpx2.get(f"{emulator.url}/v1/organizations/rate_limits?group_type=batch", headers=HEADERS)
    (group,) = response.json()["data"]
    assert {"type": "enqueued_batch_requests", "value": allowed} in group["limits"]


def test_requests_beyond_the_queue_limit_are_refused_until_there_is_room(emulator, client):
    emulator.settings(queue_limit=8, seconds_per_batch=100)
    client.messages.batches.create(requests=requests(5))
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.batches.create(requests=requests(5))
    assert caught.value.response.headers["retry-after"]
    emulator.advance(50)
    client.messages.batches.create(requests=requests(5))
    assert len(emulator.batches) == 2


def test_calls_beyond_the_pace_of_the_tier_are_refused(emulator, client):
    emulator.settings(limit_calls=True)
    with httpx2.Client(base_url=emulator.url, headers=HEADERS) as http:
        # Calls come back at the pace of the tier while these are made, so it takes more than 1,000.
        answers = (http.get("/v1/messages/batches") for _ in range(5_000))
        first = next(answers)
        refused = next(answer for answer in answers if answer.status_code == 429)
    assert first.headers["anthropic-ratelimit-requests-limit"] == "1000"
    assert int(refused.headers["retry-after"]) <= 60
    assert refused.headers["anthropic-ratelimit-requests-remaining"] == "0"


def test_only_known_keys_are_let_in_where_keys_are_set(emulator, client):
    emulator.settings(api_keys={"sk-ant-test": "wrkspc_a"})
    client.messages.batches.list()
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="sk-ant-other").messages.batches.list()


def test_workspaces_do_not_see_each_other(emulator, client):
    emulator.settings(api_keys={"sk-ant-test": "wrkspc_a", "sk-ant-other": "wrkspc_b"})
    other = client.with_options(api_key="sk-ant-other")
    batch_id = client.messages.batches.create(requests=requests()).id
    assert other.messages.batches.list().data == []
    for operation in ("retrieve", "cancel", "delete"):
        with pytest.raises(anthropic.NotFoundError):
            getattr(other.messages.batches, operation)(batch_id)
    named = other.messages.batches.list(extra_headers={"anthropic-workspace-id": "wrkspc_a"})
    assert [batch.id for batch in named.data] == [batch_id]


def test_the_bill_is_what_the_usage_of_all_messages_adds_up_to(emulator, client):
    batch_id = client.messages.batches.create(requests=requests(10, **labelled())).id
    usages = [result.message.usage for result in results_by_id(client, batch_id).values()]
    line = emulator.bill["by_batch"][batch_id]
    assert line["input_tokens"] == sum(usage.input_tokens for usage in usages)
    assert line["output_tokens"] == sum(usage.output_tokens for usage in usages)
    expected = (line["input_tokens"] * Decimal("0.05") + line["output_tokens"] * Decimal("0.25")) / 1_000_000
    assert line["cost_usd"] == emulator.bill["total"]["cost_usd"] == expected


def test_a_message_costs_twice_what_it_costs_in_a_batch(emulator, client):
    client.messages.create(**params())
    answer_to(client, messages=params()["messages"])
    bill = emulator.bill
    assert bill["messages"]["cost_usd"] == 2 * (bill["total"]["cost_usd"] - bill["messages"]["cost_usd"])


def test_the_united_states_cost_a_tenth_more(emulator, client):
    client.messages.batches.create(requests=requests(1))
    client.messages.batches.create(requests=requests(1, inference_geo="us"))
    us, anywhere = (line["cost_usd"] for line in sorted_lines(emulator))
    assert us == anywhere * Decimal("1.1")


def test_a_long_prompt_costs_more_where_the_list_says_so(emulator, client):
    client.messages.batches.create(requests=requests(1, max_tokens=1, system="x" * 400_000))
    (line,) = sorted_lines(emulator)
    assert (
        line["cost_usd"]
        == (line["input_tokens"] * Decimal("0.25") + line["output_tokens"] * Decimal("1.25")) / 1_000_000
    )


def sorted_lines(emulator) -> list:
    return sorted(emulator.bill["by_batch"].values(), key=lambda line: -line["cost_usd"])


def test_a_deleted_batch_stays_on_the_bill(emulator, client):
    batch_id = client.messages.batches.create(requests=requests()).id
    client.messages.batches.delete(batch_id)
    assert emulator.bill["by_batch"][batch_id]["requests"] == 3


def test_an_estimate_by_count_tokens_is_what_is_billed(emulator, client):
    request = params(**labelled(), system="Be short.")
    counted = client.messages.count_tokens(
        **{name: value for name, value in request.items() if name != "max_tokens"}
    )
    assert answer_to(client, **request).message.usage.input_tokens == counted.input_tokens


def test_one_request_writes_the_cache_and_the_others_read_it(emulator, client):
    batch_id = client.messages.batches.create(requests=requests(10, **WRITER)).id
    line = emulator.bill["by_batch"][batch_id]
    assert line["cache_creation_1h_input_tokens"] == 1000
    assert line["cache_read_input_tokens"] == 9000
    usage = next(iter(results_by_id(client, batch_id).values())).message.usage
    assert usage.cache_creation_input_tokens == usage.cache_creation.ephemeral_1h_input_tokens


@pytest.mark.parametrize(
    ("blocks", "seconds", "reads"), [(SHORT, 240, 1), (SHORT, 360, 0), (WRITER, 3000, 1), (WRITER, 3700, 0)]
)
def test_a_cache_entry_lives_5_minutes_or_1_hour(emulator, client, blocks, seconds, reads):
    client.messages.batches.create(requests=requests(1, **blocks))
    emulator.advance(seconds)
    batch_id = client.messages.batches.create(requests=requests(1, **blocks)).id
    assert emulator.bill["by_batch"][batch_id]["cache_read_input_tokens"] == 1000 * reads


def test_the_cache_hits_as_often_as_it_is_told_to(emulator, client):
    emulator.settings(cache_hit_rate=0.5)
    batch_id = client.messages.batches.create(requests=requests(100, **WRITER)).id
    assert 30_000 < emulator.bill["by_batch"][batch_id]["cache_read_input_tokens"] < 70_000


def test_the_input_tokens_are_disjoint_and_add_up_to_the_prompt(emulator, client):
    request = params(**WRITER)
    counted = client.messages.count_tokens(
        **{name: value for name, value in request.items() if name != "max_tokens"}
    )
    for _ in range(2):
        usage = answer_to(client, **request).message.usage
        parts = (usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
        assert sum(parts) == counted.input_tokens
