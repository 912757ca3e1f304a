"""Params that one client or one setting alone brings about, and answers whose form is not documented."""

from __future__ import annotations

import anthropic
import httpx2
import pytest

from tests.emulator.building import HEADERS, answer_to, params, requests, results_by_id


def error_of(client, headers: dict[str, str] | None = None, **changes: object) -> str | None:
    """Return the message of the errored line that such a request becomes, or nothing if it succeeds."""
    batch = client.messages.batches.create(requests=requests(1, **changes), extra_headers=headers or {})
    result = results_by_id(client, batch.id)["row-0"]
    return result.error.error.message if result.type == "errored" else None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 5}, "model: Input should be a valid string"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"messages": {}}, "messages: Input should be a valid list"),
        ({"messages": ["x"]}, "messages.0: Input should be a valid dictionary"),
        (
            {"messages": [{"role": "robot", "content": "x"}]},
            "messages.0.role: Input should be 'user' or 'assistant'",
        ),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        (
            {"messages": [{"role": "user", "content": ""}]},
            "messages.0: user messages must have non-empty content",
        ),
        (
            {"messages": [{"role": "user", "content": []}]},
            "messages.0: user messages must have non-empty content",
        ),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content: Input should be a valid list"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages.0.content.0.type: Field required"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            "messages: text content blocks must be non-empty",
        ),
        (
            {"thinking": {"type": "maybe"}},
            "thinking.type: Input should be 'enabled', 'disabled' or 'adaptive'",
        ),
        (
            {"model": "claude-haiku-4-5", "thinking": {"type": "enabled", "budget_tokens": 1}},
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        ),
        (
            {"model": "claude-haiku-4-5", "thinking": {"type": "enabled", "budget_tokens": 1024}},
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ),
        ({"tool_choice": {"type": "auto"}}, "tool_choice: may only be specified while providing tools"),
        (
            {"tools": [{"name": "a", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "b"}},
            "Tool 'b' not found in provided tools",
        ),
        (
            {"output_config": {"format": {"type": "xml"}}},
            "output_config.format.type: Input should be 'json_schema'",
        ),
        (
            {"output_config": {"format": {"type": "json_schema"}}},
            "output_config.format.schema: Field required",
        ),
        ({"inference_geo": "mars"}, "inference_geo: Input should be 'us' or 'global'"),
        (
            {"model": "claude-haiku-4-5", "system": "x" * 900_000},
            "prompt is too long: 225004 tokens > 200000 maximum",
        ),
        ({"system": 5}, "system: Input should be a valid list"),
        ({"system": [{"type": "image"}]}, "system.0.type: Input should be 'text'"),
    ],
)
def test_params_of_the_wrong_shape_become_errored_lines(client, changes, message):
    assert error_of(client, **changes) == message


def test_a_user_profile_that_contradicts_the_header_is_errored(client):
    headers = {"anthropic-user-profile-id": "one"}
    assert error_of(client, headers, user_profile_id="two") is not None
    assert error_of(client, headers, user_profile_id="one") is None


def test_beta_fields_need_a_beta_and_a_bill_to_the_user_profile_is_errored(client):
    beta = {"anthropic-beta": "something-2026-01-01, other-2026-02-02"}
    assert error_of(client, mcp_servers=[]) == "mcp_servers: Extra inputs are not permitted"
    assert error_of(client, beta, mcp_servers=[]) is None
    assert "bill_to" in (error_of(client, beta, billing_policy={"bill_to": "user_profile"}) or "")


def test_sampling_out_of_its_range_is_errored_under_the_older_version(client):
    older = {"anthropic-version": "2023-06-01"}
    assert error_of(client, older, temperature=0.3, top_p=0.9, top_k=40) is None
    assert error_of(client, older, temperature=1.5) == "temperature: range: 0..1"


def test_a_server_tool_is_accepted(client):
    assert error_of(client, tools=[{"type": "web_search_20250305", "name": "web_search"}]) is None


def test_the_cache_can_be_warmed_by_a_message_of_no_tokens(client):
    system = [{"type": "text", "text": "x" * 400, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    warmed = client.messages.create(**params(max_tokens=0, system=system))
    assert warmed.usage.cache_creation_input_tokens == 100
    assert answer_to(client, system=system).message.usage.cache_read_input_tokens == 100


def test_a_cache_mark_on_the_whole_request_marks_its_last_block(client):
    batch_id = client.messages.batches.create(
        requests=[{"custom_id": name, "params": params(cache_control={"type": "ephemeral"})} for name in "ab"]
    ).id
    usages = [result.message.usage for result in results_by_id(client, batch_id).values()]
    assert sorted(usage.cache_read_input_tokens for usage in usages) == [0, 5]


def test_a_range_is_ignored(emulator, client):
    batch_id = client.messages.batches.create(requests=requests()).id
    url = f"{emulator.url}/v1/messages/batches/{batch_id}/results"
    response = httpx2.get(url, headers={**HEADERS, "range": "bytes=5-"})
    assert (response.status_code, len(response.content.splitlines())) == (200, 3)


@pytest.mark.parametrize("status", [400, 404, 409])
def test_the_status_of_what_is_not_documented_can_be_set(emulator, client, status):
    emulator.settings(
        early_results_status=status,
        undue_delete_status=status,
        undue_cancel_status=status,
        seconds_per_batch=100,
    )
    batch_id = client.messages.batches.create(requests=requests()).id
    url = f"{emulator.url}/v1/messages/batches/{batch_id}"
    assert httpx2.get(f"{url}/results", headers=HEADERS).status_code == status
    assert httpx2.delete(url, headers=HEADERS).status_code == status
    emulator.advance(101)
    assert httpx2.post(f"{url}/cancel", headers=HEADERS).status_code == status


@pytest.mark.parametrize("name", ["after_id", "before_id"])
def test_a_page_from_a_batch_that_never_was_is_refused(client, name):
    with pytest.raises(anthropic.BadRequestError, match=f"{name}: "):
        client.messages.batches.list(**{name: "msgbatch_none"})


def test_a_page_goes_on_from_a_batch_that_was_deleted(client):
    ids = [client.messages.batches.create(requests=requests()).id for _ in range(3)]
    client.messages.batches.delete(ids[1])
    assert [batch.id for batch in client.messages.batches.list(after_id=ids[1]).data] == [ids[0]]


def test_a_page_in_both_directions_is_refused(emulator):
    url = f"{emulator.url}/v1/messages/batches?after_id=a&before_id=b"
    assert httpx2.get(url, headers=HEADERS).status_code == 400


def test_the_same_request_always_gets_the_same_answer(client):
    first, second = (answer_to(client).message for _ in range(2))
    assert first.content == second.content
    assert first.usage == second.usage


def test_the_sdk_pages_through_many_batches_in_both_directions(client):
    ids = [client.messages.batches.create(requests=requests(1)).id for _ in range(7)]
    assert [batch.id for batch in client.messages.batches.list(limit=2)] == ids[::-1]
    forward = [batch.id for batch in client.messages.batches.list(limit=2, before_id=ids[0])]
    assert sorted(forward) == sorted(ids[1:])
