"""The results of the shared batch, line by line."""

from __future__ import annotations

import json

import pytest

from tests.contract.shared_batch import FAILING, LABEL_SCHEMA, SHARED_REQUESTS, SUCCEEDING


def test_every_request_has_exactly_one_line(api, shared_batch):
    response = api.http.get(f"/v1/messages/batches/{shared_batch.id}/results")
    ids = [json.loads(line)["custom_id"] for line in response.content.splitlines()]
    assert sorted(ids) == sorted(request["custom_id"] for request in SHARED_REQUESTS)


def test_the_results_url_is_absolute_on_the_host_that_was_dialed(api, shared_batch):
    assert shared_batch.results_url == f"{api.url}/v1/messages/batches/{shared_batch.id}/results"


def test_the_counts_are_those_of_the_lines(shared_batch, shared_results):
    counts = {name: count for name, count in shared_batch.request_counts.to_dict().items() if count}
    types = [result.type for result in shared_results.values()]
    assert counts == {"succeeded": types.count("succeeded"), "errored": types.count("errored")}
    assert sum(counts.values()) == len(SHARED_REQUESTS)


@pytest.mark.parametrize("custom_id", SUCCEEDING)
def test_what_the_model_accepts_succeeds(shared_results, custom_id):
    result = shared_results[custom_id]
    assert result.type == "succeeded"
    assert result.message.role == "assistant"
    assert result.message.id.startswith("msg_")


@pytest.mark.parametrize("custom_id", FAILING)
def test_what_the_api_refuses_becomes_a_doubly_nested_error(shared_results, custom_id):
    _, error_type, message = FAILING[custom_id]
    result = shared_results[custom_id]
    assert result.type == "errored"
    assert result.error.type == "error"
    assert result.error.error.type == error_type
    assert result.error.request_id.startswith("req_")
    if message is not None:
        assert result.error.error.message == message


def test_usage_is_whole_and_of_the_batch_tier(shared_results):
    usage = shared_results["plain"].message.usage
    assert usage.service_tier == "batch"
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert usage.cache_creation.ephemeral_5m_input_tokens == 0
    assert (usage.cache_creation_input_tokens, usage.cache_read_input_tokens) == (0, 0)


def test_the_region_asked_for_is_reported(shared_results):
    assert shared_results["us"].message.usage.inference_geo == "us"


def test_a_schema_is_answered_with_an_instance_of_it(shared_results):
    message = shared_results["schema"].message
    text = "".join(block.text for block in message.content if block.type == "text")
    assert json.loads(text)["label"] in LABEL_SCHEMA["properties"]["label"]["enum"]


def test_a_forced_tool_is_used(shared_results):
    message = shared_results["forced-tool"].message
    assert message.stop_reason == "tool_use"
    assert [block.name for block in message.content if block.type == "tool_use"] == ["answer"]


def test_thinking_comes_before_the_text_and_is_counted(shared_results):
    message = shared_results["thinking"].message
    assert message.content[0].type == "thinking"
    assert message.content[0].signature
    assert message.usage.output_tokens > 0


def test_the_model_that_answered_is_named(shared_results):
    assert shared_results["another-model"].message.model == "claude-opus-5-5"


def test_results_can_be_read_again(api, shared_batch, shared_results):
    assert set(api.results(shared_batch.id)) == set(shared_results)


def test_under_the_older_version_sampling_is_allowed(api):
    older = api.client.with_options(default_headers={"anthropic-version": "2023-06-01"})
    sampled = {
        "model": "claude-haiku-4-5",
        "max_tokens": 8,
        "temperature": 0.5,
        "messages": [{"role": "user", "content": "Say yes."}],
    }
    batch = older.messages.batches.create(requests=[{"custom_id": "a", "params": sampled}])
    api.ended(batch.id)
    assert api.results(batch.id)["a"].type == "succeeded"


def test_long_output_needs_its_beta(api):
    long = {
        "model": "claude-opus-5",
        "max_tokens": 300_000,
        "messages": [{"role": "user", "content": "Say yes."}],
    }
    ids = []
    for headers in ({}, {"anthropic-beta": "output-300k-2026-03-24"}):
        requests = [{"custom_id": "a", "params": long}]
        ids.append(api.client.messages.batches.create(requests=requests, extra_headers=headers).id)
    for batch_id in ids:
        api.ended(batch_id)
    assert [api.results(batch_id)["a"].type for batch_id in ids] == ["errored", "succeeded"]
