import itertools
import re
from bisect import bisect_right

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.sampling import estimate_total, sample_positions, t_quantile
from tests.real_texts import pieces_of_texts

DRAWS = 49
SEEDS = range(500)


def request(text):
    messages = [{"role": "user", "content": text}]
    return msgspec.json.encode({"custom_id": "x" * 24, "params": {"max_tokens": 100, "messages": messages}})


def quarter_tokens(text):
    return 20 - -len(text.encode()) // 4


def word_tokens(text):
    return 20 + len(re.findall(r"\w{1,6}|[^\w\s]", text))


@pytest.fixture(scope="module")
def texts():
    return list(pieces_of_texts(10_000))


def estimates(sizes, tokens):
    ends = list(itertools.accumulate(sizes))
    for seed in SEEDS:
        drawn = [bisect_right(ends, at) for at in sample_positions(ends[-1], draws=DRAWS, seed=str(seed))]
        sample = [(sizes[i], tokens[i]) for i in drawn]
        yield estimate_total(sample, total_bytes=ends[-1], count=len(sizes))


@pytest.mark.parametrize("count_tokens", [quarter_tokens, word_tokens])
def test_the_interval_holds_the_truth_for_19_of_20_draws(texts, count_tokens):
    sizes, tokens = [len(request(text)) for text in texts], [count_tokens(text) for text in texts]
    truth = sum(tokens)
    held = [found.low <= truth <= found.high for found in estimates(sizes, tokens)]
    assert sum(held) >= 0.95 * len(SEEDS)


def test_tokens_that_follow_the_length_are_known_within_3_percent(texts):
    sizes, tokens = [len(request(text)) for text in texts], [quarter_tokens(text) for text in texts]
    truth = sum(tokens)
    assert all(abs(found.mid - truth) < 0.03 * truth for found in estimates(sizes, tokens))
    assert all(found.high - found.mid < 0.03 * truth for found in estimates(sizes, tokens))


@given(st.integers(1, 10**12), st.integers(1, 60), st.text(max_size=5))
def test_positions_are_one_in_each_stretch(total_bytes, draws, seed):
    positions = sample_positions(total_bytes, draws=draws, seed=seed)
    step = total_bytes / draws
    assert len(positions) == draws
    assert all(int(i * step) <= at <= (i + 1) * step and at < total_bytes for i, at in enumerate(positions))


def test_the_same_seed_draws_the_same():
    assert sample_positions(10**6, draws=50, seed="a") == sample_positions(10**6, draws=50, seed="a")
    assert sample_positions(10**6, draws=50, seed="a") != sample_positions(10**6, draws=50, seed="b")


def test_a_straight_line_is_found_without_error():
    sample = [(size, 7 + 0.25 * size) for size in (100, 200, 300, 400, 500, 1000)]
    found = estimate_total(sample, total_bytes=1_000_000, count=2_000)
    assert (found.low, found.mid, found.high) == pytest.approx((264_000, 264_000, 264_000))


def test_requests_of_one_length_are_averaged():
    sample = [(100, tokens) for tokens in (9, 10, 11, 9, 10, 11)]
    found = estimate_total(sample, total_bytes=100_000, count=1_000)
    assert found.mid == pytest.approx(10_000)
    assert found.low < 10_000 < found.high


def test_all_requests_are_counted_and_not_estimated():
    found = estimate_total([(10, 3), (1000, 4)], total_bytes=1010, count=2)
    assert (found.low, found.mid, found.high) == (7, 7, 7)


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="5 draws"):
        estimate_total([(10, 3)] * 5, total_bytes=1_000, count=100)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(4, 4.6041), (5, 4.0321), (10, 3.1693), (30, 2.7500), (48, 2.6822)]
)
def test_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_quantile(0.995, freedom) == pytest.approx(quantile, abs=0.011)
