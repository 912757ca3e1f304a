import datetime as dt
import json
from decimal import Decimal

import pytest

from airflow_provider_claude_batch.core.prices import PriceList
from airflow_provider_claude_batch.core.worst_case import MAX_HIDDEN_TOKENS, MAX_IMAGE_TOKENS, worst_case_usd

PRICES = PriceList.at(dt.datetime(2026, 11, 22, tzinfo=dt.UTC))
#: 2 dollars a million in, 10 out, 4 a cache write of an hour; a context of a million.
MODEL = "claude-opus-5-5"
IN_OUT = Decimal(2) / 1_000_000, Decimal(10) / 1_000_000


def line(content="Hello", **params):
    messages = [{"role": "user", "content": content}]
    given = {"model": MODEL, "max_tokens": 100, "messages": messages, **params}
    return json.dumps({"custom_id": "a", "params": given}, separators=(",", ":"), ensure_ascii=False).encode()


def input_bound(request):
    """Return the tokens that a request's prompt is taken as."""
    return (worst_case_usd([request], PRICES).usd - 100 * IN_OUT[1]) / IN_OUT[0]


def image(data=None):
    source = (
        {"type": "base64", "media_type": "image/png", "data": data} if data else {"type": "url", "url": "u"}
    )
    return {"type": "image", "source": source}


def test_a_prompt_is_a_token_a_byte_and_an_answer_its_max_tokens():
    request = line("naïve")
    assert worst_case_usd([request], PRICES).usd == len(request) * IN_OUT[0] + 100 * IN_OUT[1]


def test_requests_add_up():
    one = worst_case_usd([line()], PRICES).usd
    assert worst_case_usd([line()] * 3, PRICES).usd == 3 * one


def test_no_requests_cost_nothing():
    assert worst_case_usd([], PRICES).usd == 0


def test_a_marked_prompt_is_all_written_to_the_cache_for_an_hour():
    request = line(system=[{"type": "text", "text": "Label.", "cache_control": {"type": "ephemeral"}}])
    assert input_bound(request) == 2 * len(request)


def test_inference_in_the_us_costs_a_tenth_more():
    request = line(inference_geo="us")
    expected = (len(request) * IN_OUT[0] + 100 * IN_OUT[1]) * Decimal("1.1")
    assert worst_case_usd([request], PRICES).usd == expected


def test_a_long_prompt_is_at_the_price_of_long_prompts():
    request = line("x" * 100_000, model="claude-haiku-5-5", max_tokens=0)
    assert worst_case_usd([request], PRICES).usd == len(request) * Decimal("0.25") / 1_000_000


def test_no_prompt_is_longer_than_the_context():
    assert input_bound(line("x" * 1_500_000)) == 1_000_000


def test_an_image_counts_its_most_instead_of_its_bytes():
    request = line([image("A" * 100_000)])
    assert input_bound(request) == len(request) - 100_000 + MAX_IMAGE_TOKENS


def test_a_small_image_may_count_more_than_its_bytes():
    request = line([image(), image("A" * 10)])
    assert input_bound(request) == len(request) - 10 + 2 * MAX_IMAGE_TOKENS


def test_an_image_in_a_tool_s_result_counts_too():
    request = line([{"type": "tool_result", "tool_use_id": "t", "content": [image()]}])
    assert input_bound(request) == len(request) + MAX_IMAGE_TOKENS


@pytest.mark.parametrize("source", [{"type": "url", "url": "u"}, {"type": "base64", "data": "A"}])
def test_a_document_may_fill_the_context(source):
    assert input_bound(line([{"type": "document", "source": source}])) == 1_000_000


def test_a_document_of_text_is_its_bytes():
    request = line([{"type": "document", "source": {"type": "text", "data": "A" * 1_000}}])
    assert input_bound(request) == len(request)


def test_text_that_looks_like_an_image_is_text():
    request = line(json.dumps(image("A" * 1_000), separators=(",", ":")))
    assert input_bound(request) == len(request)


@pytest.mark.parametrize(
    "params", [{"tools": [{"name": "t", "input_schema": {}}]}, {"output_config": {"format": {}}}]
)
def test_tools_and_schemas_add_what_the_api_adds(params):
    request = line(**params)
    assert input_bound(request) == len(request) + MAX_HIDDEN_TOKENS


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
        ({"mcp_servers": []}, "mcp_servers"),
    ],
)
def test_tools_that_run_elsewhere_have_no_bound(params, named):
    found = worst_case_usd([line(), line(**params)], PRICES)
    assert found.usd is None
    assert named in found.reason


def test_a_model_without_a_price_has_no_bound():
    found = worst_case_usd([line(model="claude-next-9")], PRICES)
    assert (found.usd, found.reason) == (None, "the price of claude-next-9 is not known")
