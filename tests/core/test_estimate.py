import datetime as dt
from decimal import Decimal

import pytest

from airflow_provider_claude_batch.core.estimate import (
    OutputPerRequest,
    SampledRequest,
    estimate,
    output_of_pilot,
    output_of_runs,
    short_count,
    to_usd,
)
from airflow_provider_claude_batch.core.prices import PriceList
from airflow_provider_claude_batch.core.sampling import Interval

PRICES = PriceList.at(dt.datetime(2026, 11, 22, tzinfo=dt.UTC))
#: 2 dollars a million in, 10 out, 4 a cache write of an hour, 0.1 a read.
MODEL = "claude-opus-5-5"


def request(**given):
    defaults = {"size_bytes": 4_000, "model": MODEL, "input_tokens": 1_000, "max_tokens": 100}
    return SampledRequest(**{**defaults, **given})


def of_all(*requests, output=None):
    size = sum(each.size_bytes for each in requests)
    return estimate(requests, total_bytes=size, count=len(requests), prices=PRICES, output=output)


def known(low, mid, high):
    return OutputPerRequest(Interval(low, mid, high), "earlier runs")


def test_without_earlier_answers_an_answer_is_between_nothing_and_max_tokens():
    found = of_all(*[request()] * 1_000)
    # A million in is 2 dollars; 100,000 out is 1.
    assert (found.usd_low, found.usd_high) == (2, 3)
    assert found.output_tokens == Interval(0, 50_000, 100_000)


def test_the_list_price_is_of_the_middle_outside_batches():
    assert of_all(*[request()] * 1_000).list_usd == 5


def test_earlier_answers_bound_the_output():
    found = of_all(*[request()] * 1_000, output=known(20, 30, 40))
    assert (found.usd_low, found.usd_high, found.list_usd) == (Decimal("2.2"), Decimal("2.4"), Decimal("4.6"))


def test_no_answer_is_longer_than_its_max_tokens():
    assert of_all(*[request()] * 1_000, output=known(20, 90, 400)).usd_high == 3


def test_a_marked_prefix_is_mostly_read_and_at_worst_mostly_written():
    cached = request(cached_tokens=1_000, cache_kind="cache_write_1h", max_tokens=0)
    found = of_all(*[cached] * 1_000)
    # A million tokens: 98 % read and 2 % written, or 30 % and 70 %.
    assert found.usd_low == Decimal("0.98") * Decimal("0.1") + Decimal("0.02") * 4
    assert found.usd_high == Decimal("0.3") * Decimal("0.1") + Decimal("0.7") * 4


def test_a_long_prompt_is_at_its_own_price():
    short = request(model="claude-haiku-5-5", input_tokens=100_000, max_tokens=0)
    long = request(model="claude-haiku-5-5", input_tokens=100_001, max_tokens=0)
    assert of_all(short).usd_high == Decimal("0.005")
    assert of_all(long).usd_high == Decimal("0.025")


def test_inference_in_the_us_costs_a_tenth_more():
    assert of_all(*[request(geo="us")] * 1_000).usd_low == Decimal("2.2")


def test_a_sample_stands_for_all():
    sample = [request(size_bytes=size, input_tokens=size // 4) for size in range(4_000, 8_000, 100)]
    found = estimate(sample, total_bytes=60_000_000, count=10_000, prices=PRICES)
    assert found.requests == 10_000
    assert found.input_tokens.mid == pytest.approx(15_000_000)


def test_a_price_that_is_not_known_leaves_the_tokens():
    found = of_all(request(), request(model="claude-next-9"))
    assert (found.usd_low, found.usd_high, found.list_usd) == (None, None, None)
    assert found.unpriced == ("claude-next-9",)
    assert found.input_tokens.mid == 2_000


def test_the_line_says_what_a_person_asks():
    found = of_all(*[request()] * 1_000, output=known(20, 30, 40))
    assert found.to_text(max_cost_usd=Decimal(25)) == (
        "1,000 requests, 1.0 M ± 0 % tokens in, 20 k to 40 k out (by earlier runs), "
        "est. $2.20 to $2.40 (list price $4.60), cap $25.00"
    )


def test_the_line_names_the_model_without_a_price():
    assert "cost not known (no price of claude-next-9)" in of_all(request(model="claude-next-9")).to_text()


def test_earlier_runs_bound_the_next_a_tenth_more_and_less():
    found = output_of_runs([(100, 1_000), (300, 6_000), (0, 0)])
    assert found.tokens == Interval(9.0, 17.5, pytest.approx(22.0))


def test_runs_without_rows_say_nothing():
    assert output_of_runs([(0, 0)]) is None


def test_a_pilot_bounds_the_mean_of_its_answers():
    found = output_of_pilot([10, 12, 8, 11, 9, 10, 10, 10]).tokens
    assert found.mid == 10
    assert 8 < found.low < 9
    assert found.high - 10 == pytest.approx(10 - found.low)


def test_a_pilot_of_few_answers_says_nothing():
    assert output_of_pilot([10] * 5) is None


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (950, "950"), (1_234, "1.2 k"), (12_345, "12 k"), (61e6, "61 M"), (1.24e9, "1.2 G")],
)
def test_counts_are_short(number, shown):
    assert short_count(number) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("1234.567", "$1,234.57"),
        ("0.1234", "$0.12"),
        ("0.00042", "$0.00042"),
        ("0.0000004", "$0.0000004"),
        ("0.1", "$0.10"),
        ("0.05", "$0.05"),
        ("0.995", "$1.00"),
        ("-0.0025", "$-0.0025"),
    ],
)
def test_dollars_have_the_digits_that_matter(amount, shown):
    assert to_usd(Decimal(amount)) == shown
