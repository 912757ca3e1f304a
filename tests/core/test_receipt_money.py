"""What was paid is divided by kind, and held against what it would have cost otherwise."""

import datetime as dt
from decimal import Decimal

from airflow_provider_claude_batch.core.prices import PriceList
from airflow_provider_claude_batch.core.receipt_money import to_money

NOV = PriceList.at(dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
SONNET = NOV.of("claude-sonnet-5")


def test_the_kinds_add_up_to_the_cost_and_the_list_price_is_twice_as_much():
    tokens = {"input": 1_000_000, "output": 200_000}
    cost = Decimal("1.00") + Decimal("1.00")
    money = to_money(tokens, cost, SONNET, rows=1000)
    assert money.by_kind == {"input": Decimal("1.00"), "output": Decimal("1.00")}
    assert money.list_usd == Decimal("4.00")
    assert money.saved_usd == {"batch": Decimal("2.00")}


def test_reads_from_the_cache_save_what_writes_do_not_cost_more():
    tokens = {"input": 0, "output": 0, "cache_write_1h": 1_000_000, "cache_read": 9_000_000}
    cost = SONNET.cost_usd(tokens)
    money = to_money(tokens, cost, SONNET, rows=10_000)
    # 9 M read at 0.10 and not at 1.00, 1 M written at 2.00 and not sent at 1.00.
    assert money.saved_usd["cache"] == Decimal("8.10") - Decimal("1.00")
    assert sum(money.by_kind.values()) == cost


def test_a_cost_that_rows_know_better_is_divided_in_proportion():
    tokens = {"input": 1_000_000, "output": 200_000}
    money = to_money(tokens, Decimal("2.20"), SONNET, rows=1000)
    assert money.by_kind == {"input": Decimal("1.10"), "output": Decimal("1.10")}
    assert money.list_usd == Decimal("4.40")


def test_a_submission_that_cost_nothing_has_saved_what_reuse_says():
    money = to_money({}, Decimal(0), SONNET, rows=0, reuse_usd=Decimal("3.5"))
    assert money.by_kind == {}
    assert money.saved_usd == {"batch": Decimal(0), "reuse": Decimal("3.5")}
