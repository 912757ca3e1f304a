from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.gate import Gate
from airflow_provider_claude_batch.core.results_to_arrow import published_schema
from airflow_provider_claude_batch.core.tally import Tally
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

SCHEMA = published_schema(pa.schema([("id", pa.int64()), ("body", pa.string())]), None)


def tally_of(*, key=("id",), batches=1, **outcomes) -> Tally:
    """Return the tally of as many rows as each outcome says, in batches of one outcome each."""
    tally = Tally(key)
    for outcome, count in outcomes.items():
        for at in range(batches):
            numbers = range(at, count, batches)
            rows = [
                {
                    "id": i,
                    "body": "secret",
                    "claude_text": "secret",
                    "claude_custom_id": f"c{i}",
                    "claude_outcome": outcome,
                    "claude_input_tokens": 10,
                }
                for i in numbers
            ]
            tally.add(pa.RecordBatch.from_pylist(rows, SCHEMA))
    return tally


def refuses(tally: Tally, max_error_rate: object = 0.01, *, min_error_count: int = 5) -> bool:
    return Gate.of(max_error_rate, min_error_count=min_error_count).refusal(tally) is not None


def test_rows_within_the_limit_pass():
    assert not refuses(tally_of(ok=990, errored=10))


def test_one_row_more_than_the_limit_is_refused():
    assert refuses(tally_of(ok=989, errored=11))


def test_a_few_rows_of_a_small_dataset_pass():
    assert not refuses(tally_of(ok=6, errored=4))


def test_a_small_dataset_without_any_usable_answer_is_refused():
    assert refuses(tally_of(errored=1))


def test_an_empty_dataset_passes():
    assert not refuses(tally_of())


def test_without_a_limit_everything_passes():
    assert not refuses(tally_of(errored=1000), None)


def test_a_limit_of_an_outcome_leaves_the_others_alone():
    assert not refuses(tally_of(ok=50, refused=50), {"errored": 0.005})


def test_a_limit_of_an_outcome_is_kept_for_itself():
    assert refuses(tally_of(ok=989, errored=11), {"errored": 0.005, "refused": 0.1, "total": 0.5})


def test_the_total_takes_in_what_is_not_named():
    assert refuses(tally_of(ok=90, missing=10), {"errored": 0.5, "total": 0.02})


def test_without_any_usable_answer_an_outcome_that_is_not_limited_passes():
    assert not refuses(tally_of(rejected=3), {"errored": 0.01})


@given(st.integers(1, 10_000), st.integers(0, 10_000))
def test_a_share_is_the_decimal_that_was_written(rows, hundredths):
    bad = rows * hundredths // 10_000
    tally = Tally(rows=rows)
    tally.outcomes.update(ok=rows - bad, errored=bad)
    assert not refuses(tally, float(f"{hundredths / 10_000:.4f}"), min_error_count=0)


def test_the_reason_names_limit_count_share_and_outcomes():
    assert Gate.of(0.05).refusal(tally_of(ok=80, errored=15, refused=5, key=())) == (
        "without a usable answer are 20 of 100 rows (20.00%), and max_error_rate allows 5.00%. Of all rows: "
        "80 ok, 15 errored (claude_custom_id=c0; claude_custom_id=c1; claude_custom_id=c2; "
        "claude_custom_id=c3; claude_custom_id=c4; ...), "
        "5 refused (claude_custom_id=c0; claude_custom_id=c1; claude_custom_id=c2; claude_custom_id=c3; "
        "claude_custom_id=c4)"
    )


def test_the_reason_names_rows_by_their_keys_and_never_by_their_texts():
    reason = Gate.of().refusal(tally_of(errored=2, batches=2))
    assert reason is not None
    assert "2 errored (id=0; id=1)" in reason
    assert "secret" not in reason


@pytest.mark.parametrize(
    "limit", [-0.1, 1.5, True, "0.1", float("nan"), {"error": 0.1}, {"ok": 0.1}, {"errored": 2}]
)
def test_a_limit_that_is_not_a_share_of_an_outcome_is_refused_early(limit):
    with pytest.raises(ClaudeBatchInputError, match=r"Nothing was sent"):
        Gate.of(limit)


def test_a_long_key_is_cut():
    tally = Tally(("body",))
    row = {"body": "k" * 1000, "claude_outcome": "errored"}
    tally.add(pa.RecordBatch.from_pylist([row], SCHEMA))
    assert tally.samples == {"errored": [f"body={'k' * 60}..."]}


def test_a_tally_sums_dollars_and_counts_those_that_are_not_known():
    tally = Tally()
    costs = [Decimal("0.25"), Decimal("0.000000000001"), None]
    rows = [{"claude_outcome": "ok", "claude_cost_usd": cost} for cost in costs]
    tally.add(pa.RecordBatch.from_pylist(rows, SCHEMA))
    assert (tally.cost_usd, tally.unpriced) == (Decimal("0.250000000001"), 1)
