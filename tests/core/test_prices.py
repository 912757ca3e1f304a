import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from genai_prices import Usage, calc_price

from airflow_provider_claude_batch.core.prices import PRICED_KINDS, PriceList
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

TODAY = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
BEFORE_BATCH_PRICES_WERE_LISTED = dt.datetime(2026, 9, 30, tzinfo=dt.UTC)

#: Input, output, writes of 5 minutes and of an hour, reads: 12,345, 6,789, 1,000, 2,000 and 30,000 tokens.
#: Worked by hand from the price table: 12,345 x input + 6,789 x output + 1,000 x write + ... over a million.
MIXED = {
    "input": 12_345,
    "output": 6_789,
    "cache_write_5m": 1_000,
    "cache_write_1h": 2_000,
    "cache_read": 30_000,
}
COSTS = {
    # 4/20/5/8/0.1: 0.04938 + 0.13578 + 0.005 + 0.016 + 0.003
    "claude-fable-5-2": "0.20916",
    "claude-mythos-5-2": "0.20916",
    # 5/25/6.25/10/0.125: 0.061725 + 0.169725 + 0.00625 + 0.02 + 0.00375
    "claude-fable-5-1": "0.26145",
    # 5/25/6.25/10/0.5: 0.061725 + 0.169725 + 0.00625 + 0.02 + 0.015
    "claude-fable-5": "0.2727",
    # 2/10/2.5/4/0.1: 0.02469 + 0.06789 + 0.0025 + 0.008 + 0.003
    "claude-opus-5-5": "0.10608",
    # 2.5/12.5/3.125/5/0.25: 0.0308625 + 0.0848625 + 0.003125 + 0.01 + 0.0075
    "claude-opus-5": "0.13635",
    "claude-opus-4-8": "0.13635",
    "claude-opus-4-7": "0.13635",
    "claude-opus-4-6": "0.13635",
    "claude-opus-4-5-20251101": "0.13635",
    # 1/5/1.25/2/0.05: 0.012345 + 0.033945 + 0.00125 + 0.004 + 0.0015
    "claude-sonnet-5-5": "0.05304",
    # 1/5/1.25/2/0.1: the same with reads of 0.003
    "claude-sonnet-5": "0.05454",
    # 1.5/7.5/1.875/3/0.15: 0.0185175 + 0.0509175 + 0.001875 + 0.006 + 0.0045
    "claude-sonnet-4-6": "0.08181",
    "claude-sonnet-4-5-20250929": "0.08181",
    # 0.5/2.5/0.625/1/0.05: 0.0061725 + 0.0169725 + 0.000625 + 0.002 + 0.0015
    "claude-haiku-4-5-20251001": "0.02727",
    # 0.05/0.25/0.0625/0.1/0.005: 0.00061725 + 0.00169725 + 0.0000625 + 0.0002 + 0.00015
    "claude-haiku-5-5": "0.002727",
}
A_THOUSANDTH_OF_A_CENT = Decimal("0.00001")


def columns(*rows):
    return {kind: pa.array([row.get(kind, 0) for row in rows], pa.int64()) for kind in PRICED_KINDS}


def cost(model, usage, *, when=TODAY, own=None, geo=None):
    prices = PriceList.at(when, own=own)
    (found,) = prices.costs_usd(pa.array([model]), columns(usage), pa.array([geo], pa.string())).to_pylist()
    return found


@pytest.mark.parametrize("model", COSTS)
def test_a_mixed_usage_costs_what_the_price_table_says(model):
    assert abs(cost(model, MIXED) - Decimal(COSTS[model])) < A_THOUSANDTH_OF_A_CENT


@pytest.mark.parametrize("model", COSTS)
def test_a_batch_from_before_the_library_lists_batches_is_half_price_too(model):
    assert cost(model, MIXED, when=BEFORE_BATCH_PRICES_WERE_LISTED) == Decimal(COSTS[model])


@pytest.mark.parametrize("model", COSTS)
def test_the_library_itself_comes_to_the_same(model):
    prompt = sum(MIXED.values()) - MIXED["output"]
    usage = Usage(
        input_tokens=prompt,
        output_tokens=MIXED["output"],
        cache_write_tokens=MIXED["cache_write_5m"] + MIXED["cache_write_1h"],
        cache_write_1h_tokens=MIXED["cache_write_1h"],
        cache_read_tokens=MIXED["cache_read"],
    )
    context = {"processing": "batch"}
    listed = calc_price(
        usage, model, provider_id="anthropic", genai_request_timestamp=TODAY, price_context=context
    )
    assert cost(model, MIXED) == listed.total_price


def test_a_model_that_is_no_longer_listed_for_batches_is_half_price():
    assert cost("claude-opus-4-1-20250805", {"input": 1_000_000}) == Decimal("7.5")


def test_all_tokens_of_a_long_prompt_cost_more():
    # 100,001 x 0.25 + 1,000 x 1.25 over a million
    usage = {"input": 60_001, "cache_read": 40_000, "output": 1_000}
    assert cost("claude-haiku-5-5", usage) == Decimal("0.01500025") + Decimal("0.001") + Decimal("0.00125")


def test_a_prompt_of_just_the_threshold_is_a_short_one():
    assert cost("claude-haiku-5-5", {"input": 100_000}) == Decimal("0.005")


def test_the_answer_is_no_part_of_the_prompt_s_length():
    assert cost("claude-haiku-5-5", {"input": 100_000, "output": 64_000}) == Decimal("0.021")


def test_the_tier_is_that_of_each_row():
    models = pa.array(["claude-haiku-5-5"] * 2)
    found = PriceList.at(TODAY).costs_usd(models, columns({"input": 80_000}, {"input": 120_000}), None)
    assert found.to_pylist() == [Decimal("0.004"), Decimal("0.03")]


def test_inference_in_the_us_costs_a_tenth_more():
    assert cost("claude-haiku-5-5", MIXED, geo="us") == Decimal("0.0029997")


@pytest.mark.parametrize("geo", ["global", "not_available", None])
def test_inference_elsewhere_costs_what_is_listed(geo):
    assert cost("claude-haiku-5-5", MIXED, geo=geo) == Decimal("0.002727")


def test_rows_of_several_models_are_each_at_their_own_price():
    models = pa.array(["claude-opus-5-5", None, "claude-sonnet-5", "claude-opus-5-5"])
    million = {"input": 1_000_000}
    found = PriceList.at(TODAY).costs_usd(models, columns(million, {}, million, million), None)
    assert found.to_pylist() == [2, 0, 1, 2]


def test_a_cost_is_a_decimal_with_room_for_one_token():
    found = PriceList.at(TODAY).costs_usd(
        pa.array(["claude-haiku-5-5"]), columns({"cache_read": 1}), pa.array(["us"])
    )
    assert found.type == pa.decimal128(20, 12)
    assert found.to_pylist() == [Decimal("0.0000000055")]


def test_an_unknown_model_has_no_cost_where_it_has_tokens():
    assert cost("claude-next-9", {"input": 1}) is None


def test_a_row_without_tokens_costs_nothing_whatever_its_model():
    assert cost("claude-next-9", {}) == 0
    assert cost(None, {}) == 0


def test_tokens_that_are_not_known_are_none():
    tokens = columns({"input": 1_000_000}) | {"output": pa.array([None], pa.int64())}
    assert PriceList.at(TODAY).costs_usd(pa.array(["claude-opus-5-5"]), tokens, None).to_pylist() == [2]


def test_models_may_be_a_dictionary_and_counts_narrow():
    tokens = {kind: pa.array([1_000_000], pa.int32()) for kind in PRICED_KINDS}
    models = pa.array(["claude-opus-5-5"]).dictionary_encode()
    assert PriceList.at(TODAY).costs_usd(models, tokens, None).to_pylist() == [Decimal("18.6")]


def test_no_rows_are_no_costs():
    found = PriceList.at(TODAY).costs_usd(pa.array([], pa.string()), columns(), None)
    assert (len(found), found.type) == (0, pa.decimal128(20, 12))


def test_own_prices_win_kind_by_kind():
    own = {"claude-sonnet-5-5": {"cache_read": "0.1"}}
    # 0.003 for the reads instead of 0.0015
    assert cost("claude-sonnet-5-5", MIXED, own=own) == Decimal("0.05454")


def test_own_prices_of_a_model_without_its_date_hold_with_it():
    own = {"claude-haiku-4-5": {"input": Decimal("0.25")}}
    assert cost("claude-haiku-4-5-20251001", {"input": 1_000_000}, own=own) == Decimal("0.25")


def test_own_prices_make_an_unlisted_model_known_and_its_cache_follows():
    own = {"claude-next-9": {"input": "2", "output": "10"}}
    # 12,345 x 2 + 6,789 x 10 + 1,000 x 2.5 + 2,000 x 4 + 30,000 x 0.2
    assert cost("claude-next-9", MIXED, own=own) == Decimal("0.10908")


def test_own_prices_without_an_input_do_not_make_a_model_known():
    assert PriceList.at(TODAY, own={"claude-next-9": {"output": 1}}).of("claude-next-9") is None


@pytest.mark.parametrize("price", ["-1", "NaN", "cheap", None, "Infinity"])
def test_own_prices_are_dollars(price):
    with pytest.raises(ClaudeBatchInputError, match="claude-haiku-5-5: input"):
        PriceList.at(TODAY, own={"claude-haiku-5-5": {"input": price}})


def test_own_prices_name_kinds_that_there_are():
    with pytest.raises(ClaudeBatchInputError, match="'inputs' is not one of input, output"):
        PriceList.at(TODAY, own={"claude-haiku-5-5": {"inputs": "1"}})


def test_the_list_price_is_twice_the_price_in_a_batch():
    (tier,) = PriceList.at(TODAY).of("claude-opus-5-5").tiers
    assert tier.standard == {kind: 2 * price for kind, price in tier.batch.items()}


@pytest.mark.parametrize("usage", [MIXED, {**MIXED, "input": 123_456}])
def test_one_request_costs_the_same_as_a_row(usage):
    prices = PriceList.at(TODAY).of("claude-haiku-5-5")
    assert prices.cost_usd(usage, geo="us") == cost("claude-haiku-5-5", usage, geo="us")
