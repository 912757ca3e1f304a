import datetime as dt
from decimal import Decimal

import pytest

from airflow_provider_claude_batch.core.cache_prefix import cache_prefix
from airflow_provider_claude_batch.core.cache_use import break_even, cache_use
from airflow_provider_claude_batch.core.prices import PriceList
from airflow_provider_claude_batch.core.request_template import build_params
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

PRICES = PriceList.at(dt.datetime(2026, 11, 22, tzinfo=dt.UTC))
LONG = "You label things. " * 400
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
MINUTES = {"cache_control": {"type": "ephemeral"}}


def params(*, system=LONG, prompt="What is this: {body}", model="claude-haiku-5-5", **given):
    return build_params(
        model=model,
        max_tokens=100,
        messages=given.pop("messages", [{"role": "user", "content": prompt}]),
        system=system,
        output_format=given.pop("output_format", None),
        cache_ttl=given.pop("cache_ttl", None),
        request_params=given,
    )


def text(value, **marks):
    return {"type": "text", "text": value, **marks}


def test_cache_ttl_marks_a_text_that_becomes_a_block():
    assert params(cache_ttl="1h")["system"] == [text(LONG, **HOUR)]


def test_cache_ttl_marks_the_last_block():
    assert params(system=[text("a"), text("b")], cache_ttl="5m")["system"] == [
        text("a"),
        text("b", cache_control={"type": "ephemeral", "ttl": "5m"}),
    ]


def test_a_mark_of_the_author_stays():
    assert params(system=[text("a", **MINUTES)], cache_ttl="1h")["system"] == [text("a", **MINUTES)]


def test_without_cache_ttl_the_request_is_as_it_was():
    assert params(system="a")["system"] == "a"


@pytest.mark.parametrize("system", [None, "", []])
def test_cache_ttl_without_a_system_prompt_is_refused(system):
    with pytest.raises(ClaudeBatchInputError, match=r"there is none: give system.*Nothing was sent"):
        params(system=system, cache_ttl="1h")


def test_cache_ttl_takes_what_the_api_takes():
    with pytest.raises(ClaudeBatchInputError, match="cache_ttl is '2h'; it must be 5m or 1h"):
        params(cache_ttl="2h")


def test_a_prompt_without_a_mark_has_nothing_to_cache():
    prefix = cache_prefix(params())
    assert prefix.marks == ()
    assert prefix.problems() == []
    assert not prefix.is_readable


def test_a_row_behind_the_mark_leaves_the_prefix_the_same():
    prefix = cache_prefix(params(cache_ttl="1h"))
    assert prefix.shared.path == "$.system[0]"
    assert prefix.shared.text_bytes == len(LONG) + len("typetexttext")
    assert prefix.is_readable
    assert prefix.problems() == []


@pytest.mark.parametrize(
    ("given", "path", "where"),
    [
        ({"system": "On {day}: " + LONG}, "$.system[0]", "$.system[0].text: {day}"),
        ({"system": [text("For {team}"), text(LONG)]}, "$.system[1]", "$.system[0].text: {team}"),
    ],
)
def test_a_prefix_that_differs_by_row_is_reported_with_the_place(given, path, where):
    prefix = cache_prefix(params(cache_ttl="1h", **given))
    (problem,) = prefix.problems()
    assert problem.startswith(
        f"{path} is marked for the prompt cache, but the prompt differs by row from {where}"
    )
    assert not prefix.is_readable


def test_a_mark_behind_a_row_is_reported_beside_one_that_can_be_read():
    content = [text("{body}", **HOUR)]
    prefix = cache_prefix(params(cache_ttl="1h", messages=[{"role": "user", "content": content}]))
    (problem,) = prefix.problems()
    assert problem.startswith("$.messages[0].content[0] is marked")
    assert prefix.shared.path == "$.system[0]"
    assert prefix.is_readable


def test_tools_come_before_the_system_prompt():
    tool = {"name": "look_up", "description": "x" * 3_000, "input_schema": {"type": "object"}, **HOUR}
    prefix = cache_prefix(params(system="For {team}", tools=[tool]))
    assert prefix.shared.path == "$.tools[0]"
    assert prefix.is_readable


def test_the_mark_of_a_whole_request_is_at_its_end():
    (mark,) = cache_prefix(params(**MINUTES)).marks
    assert (mark.path, mark.ttl, mark.column) == ("$.messages[0].content", "5m", "body")


def test_a_mark_within_a_tool_result_counts():
    result = {"type": "tool_result", "tool_use_id": "t", "content": [text("a", **MINUTES)]}
    (mark,) = cache_prefix(params(messages=[{"role": "user", "content": [result]}])).marks
    assert mark.path == "$.messages[0].content[0]"


@pytest.mark.parametrize(
    ("model", "size", "is_readable"),
    [
        ("claude-haiku-5-5", 900, False),
        ("claude-haiku-5-5", 1_100, True),
        ("claude-haiku-4-5-20251001", 8_000, False),
        ("claude-haiku-4-5-20251001", 8_300, True),
        ("claude-of-tomorrow", 10, True),
    ],
)
def test_a_prefix_is_too_short_where_it_cannot_reach_the_models_minimum(model, size, is_readable):
    prefix = cache_prefix(params(model=model, system="x" * size, cache_ttl="1h"))
    assert prefix.is_readable == is_readable
    assert len(prefix.problems()) == (not is_readable)


def test_the_reason_names_bytes_tokens_and_minimum():
    (problem,) = cache_prefix(params(system="x" * 88, cache_ttl="1h")).problems()
    assert "100 bytes, at most 50 tokens, are too few: claude-haiku-5-5 caches from 512 on" in problem


def test_what_may_or_may_not_be_too_short_is_said_to_be_in_doubt():
    assert (
        cache_prefix(params(system="x" * 2_000, cache_ttl="1h"))
        .to_text()
        .endswith("512 on (may be too short)")
    )


def test_an_image_is_not_judged_by_its_bytes():
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}, **HOUR}
    prefix = cache_prefix(
        params(system=None, messages=[{"role": "user", "content": [image, text("{body}")]}])
    )
    assert prefix.shared.most_tokens is None
    assert prefix.is_readable


def test_an_output_format_is_part_of_the_prefix():
    plain = cache_prefix(params(cache_ttl="1h")).shared.text_bytes
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    assert cache_prefix(params(cache_ttl="1h", output_format=schema)).shared.text_bytes > plain


def test_more_marks_than_the_api_takes_are_refused():
    with pytest.raises(ClaudeBatchInputError, match=r"has 5 cache_control marks, and the API takes 4"):
        cache_prefix(params(system=[text("a", **MINUTES)] * 5))


def test_a_longer_mark_behind_a_shorter_one_is_refused():
    tool = {"name": "look_up", "input_schema": {"type": "object"}, **MINUTES}
    with pytest.raises(
        ClaudeBatchInputError, match=r"\$\.system\[0\] is marked for 1h, behind \$\.tools\[0\]"
    ):
        cache_prefix(params(tools=[tool], cache_ttl="1h"))


@pytest.mark.parametrize(
    ("model", "ttl", "reads", "hit_rate"),
    [
        ("claude-haiku-5-5", "1h", 2, 1 / 1.9),
        ("claude-haiku-5-5", "5m", 1, 0.25 / 1.15),
        ("claude-fable-5-2", "1h", 2, 1 / 1.975),
    ],
)
def test_a_write_pays_from_so_many_reads_on(model, ttl, reads, hit_rate):
    even = break_even(PRICES.of(model), ttl=ttl)
    assert even.reads == reads
    assert even.hit_rate == pytest.approx(hit_rate)


def test_at_its_break_even_a_mark_costs_what_none_costs():
    prices = PRICES.of("claude-opus-5-5")
    share = break_even(prices, ttl="1h").hit_rate
    tokens = {"cache_read": round(10**9 * share), "cache_write_1h": round(10**9 * (1 - share))}
    assert abs(cache_use(tokens, prices, rows=10**6).saved_usd) < Decimal("0.00001")


def test_a_read_that_costs_as_much_as_the_prompt_never_pays():
    own = {"m": {"input": "1", "output": "5", "cache_read": "1"}}
    assert break_even(PriceList.at(PRICES.when, own=own).of("m"), ttl="1h") is None


def test_reads_save_what_writes_do_not_eat():
    tokens = {"input": 5_000, "output": 700, "cache_write_1h": 1_000_000, "cache_read": 9_000_000}
    use = cache_use(tokens, PRICES.of("claude-haiku-5-5"), rows=10_000)
    # 9 M tokens at 0.045 less a million dearer by 0.05.
    assert use.saved_usd == Decimal("0.355")
    assert use.to_text() == "prompt cache: 90.0% of the marked tokens were read, which saved $0.36"


def test_writes_that_nobody_read_cost_more_than_no_cache():
    use = cache_use({"cache_write_1h": 1_000_000}, PRICES.of("claude-haiku-5-5"), rows=100)
    assert use.to_text() == (
        "prompt cache: 0.0% of the marked tokens were read, which cost $0.05 more than no cache"
    )


def test_a_run_without_the_cache_has_no_hit_rate():
    assert cache_use({"input": 10, "output": 5}, PRICES.of("claude-haiku-5-5"), rows=1) is None


def test_without_prices_only_the_hit_rate_is_known():
    use = cache_use({"cache_read": 3, "cache_write_5m": 1}, None, rows=1)
    assert (use.hit_rate, use.saved_usd) == (0.75, None)
