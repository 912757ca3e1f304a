import datetime as dt
from decimal import Decimal

from airflow_provider_claude_batch.core.costs import latest_receipts, sum_costs, total_of
from airflow_provider_claude_batch.core.receipts_to_arrow import RECEIPTS_SCHEMA, receipts_to_arrow
from tests.receipts import NOON, receipt

TODAY = NOON.date()


def test_groups_are_summed_and_the_dearest_is_first():
    receipts = [receipt("a"), receipt("b"), receipt("c", dag_id="translate", cost_usd="0.5")]
    dearest, other = sum_costs(receipts, by=["dag", "model"], since=TODAY)
    assert dearest.by == {"dag": "translate", "model": "claude-haiku-5-5"}
    assert (other.submissions, other.rows, other.failed_rows) == (2, 200, 4)
    assert (other.prompt_tokens, other.cached_tokens, other.output_tokens) == (40_000, 18_000, 4_000)
    assert other.cost_usd == Decimal("0.02")


def test_what_was_before_is_held_against_it():
    receipts = [receipt("a", cost_usd="3"), receipt("b", cost_usd="2", days_ago=1)]
    (line,) = sum_costs(receipts, by=["dag"], since=TODAY)
    assert (line.submissions, line.cost_usd, line.before_usd) == (1, 3, 2)


def test_a_group_that_is_no_more_is_shown_too():
    (line,) = sum_costs([receipt("a", cost_usd="2", days_ago=1)], by=["dag"], since=TODAY)
    assert (line.submissions, line.cost_usd, line.before_usd) == (0, 0, 2)


def test_days_are_in_order_and_held_against_nothing():
    receipts = [receipt("a", cost_usd="1"), receipt("b", cost_usd="9", days_ago=1), receipt("c", days_ago=2)]
    lines = sum_costs(receipts, by=["day"], since=TODAY - dt.timedelta(days=1))
    assert [line.by["day"] for line in lines] == ["2026-11-22", "2026-11-21"]
    assert [line.before_usd for line in lines] == [None, None]


def test_a_cost_that_is_not_known_is_counted_apart():
    (line,) = sum_costs([receipt("a"), receipt("b", cost_usd=None)], by=["task"], since=TODAY)
    assert (line.cost_usd, line.unpriced) == (Decimal("0.01"), 1)


def test_the_total_is_the_sum_of_the_lines():
    receipts = [receipt("a", cost_usd="1"), receipt("b", dag_id="c", cost_usd="2"), receipt("d", days_ago=1)]
    total = total_of(sum_costs(receipts, by=["dag"], since=TODAY))
    assert (total.submissions, total.rows, total.cost_usd, total.before_usd) == (2, 200, 3, Decimal("0.01"))


def test_a_submission_that_was_loaded_again_counts_once():
    again = receipt("a", cost_usd="2")
    assert latest_receipts([again, receipt("a", cost_usd="1", days_ago=1)]) == [again]


def test_receipts_are_a_table_of_one_row_each_oldest_first():
    table = receipts_to_arrow([receipt("b"), receipt("a", days_ago=2, cost_usd=None)])
    assert table.schema == RECEIPTS_SCHEMA
    assert table.column("identity").to_pylist() == ["a", "b"]
    row = table.to_pylist()[1]
    assert row["day"] == TODAY
    assert (row["rows"], row["ok_rows"], row["refused_rows"], row["errored_rows"]) == (100, 98, 2, 0)
    assert (row["input_tokens"], row["cache_read_tokens"]) == (10_000, 9_000)
    assert (row["cost_usd"], row["list_cost_usd"]) == (Decimal("0.01"), None)
    assert table.column("cost_usd").null_count == 1


def test_no_receipts_are_an_empty_table():
    table = receipts_to_arrow([])
    assert (table.num_rows, table.schema) == (0, RECEIPTS_SCHEMA)


def test_a_cost_of_more_digits_than_the_column_holds_is_rounded():
    (row,) = receipts_to_arrow([receipt(cost_usd="0.0000000000005")]).to_pylist()
    assert row["cost_usd"] == Decimal("0.000000000000")
