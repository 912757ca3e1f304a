import datetime as dt
from decimal import Decimal

import pytest

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.get_provider_info import get_provider_info
from airflow_provider_claude_batch.submission.pricing import price_list

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)


@pytest.fixture
def configured(monkeypatch):
    return lambda text: monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__PRICES", text)


def batch_prices(model, **own):
    return price_list(NOW, **own).of(model).tiers[0].batch


def test_without_a_config_prices_are_the_list_s():
    assert batch_prices("claude-opus-5-5")["input"] == 2


def test_the_config_s_own_example_is_taken(configured):
    configured(get_provider_info()["config"]["claude_batch"]["options"]["prices"]["example"])
    prices = batch_prices("claude-haiku-5-5")
    assert (prices["input"], prices["cache_read"]) == (Decimal("0.045"), Decimal("0.005"))


def test_a_number_in_the_config_is_taken_as_it_is_written(configured):
    configured('{"claude-opus-5-5": {"input": 0.1}}')
    assert batch_prices("claude-opus-5-5")["input"] == Decimal("0.1")


def test_an_author_s_price_wins_over_the_config_s_and_leaves_the_others(configured):
    configured(
        '{"claude-opus-5-5": {"input": "1", "output": "5"}, "claude-next-9": {"input": 3, "output": 9}}'
    )
    prices = price_list(NOW, own={"claude-opus-5-5": {"input": "1.5"}})
    opus = prices.of("claude-opus-5-5").tiers[0].batch
    assert (opus["input"], opus["output"]) == (Decimal("1.5"), 5)
    assert prices.of("claude-next-9") is not None


@pytest.mark.parametrize("text", ["{", "[]", '{"claude-opus-5-5": 3}', '{"claude-opus-5-5": {"input": "x"}}'])
def test_a_config_that_is_no_prices_is_said(configured, text):
    configured(text)
    with pytest.raises(ClaudeBatchInputError, match=r"\[claude_batch\] prices is not JSON of prices"):
        price_list(NOW)


def test_a_kind_that_does_not_exist_is_said(configured):
    configured('{"claude-opus-5-5": {"inputs": 1}}')
    with pytest.raises(ClaudeBatchInputError, match="own prices of claude-opus-5-5: 'inputs'"):
        price_list(NOW)
