"""Nights of the news: all in time, a part too late, all too late; in the morning everything is there."""

import datetime as dt
import runpy

import anthropic
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.core.cache_prefix import cache_prefix
from airflow_provider_claude_batch.core.prices import PriceList
from tests.examples.conftest import EXAMPLE_DAGS
from tests.examples.outcomes.translate_news import KEYS, check, dataset

TASKS = ["table", "submit", "wait", "load", "write", "any_late", "answer_late", "write_late", "complete"]
TABLE = "from translations order by topic_id, language"
TIERS = "select service_tier, count(*) from translations group by 1 order by 1"
AT = dt.datetime(2026, 11, 26, 1, tzinfo=dt.UTC)
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def soon():
    """Return a deadline before which what has not ended is canceled at once, and no round begins."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=10)).isoformat()


def states(run, **conf):
    found = run("translate_news", conf, logical_date=AT)
    return [found[name] for name in TASKS]


def paid_calls(emulator):
    return emulator.calls.count_of("create"), emulator.calls.count_of("messages")


def test_in_a_night_in_which_nobody_is_late_the_branch_is_skipped(run_example, warehouse, tmp_path, emulator):
    found = states(run_example)
    assert dict(zip(TASKS, found, strict=True)) == {
        **dict.fromkeys(TASKS, "success"),
        "answer_late": "skipped",
        "write_late": "skipped",
    }
    check(tmp_path, warehouse)
    assert warehouse(TIERS) == [("batch", len(warehouse(KEYS)))]
    assert paid_calls(emulator) == (2, 0)
    total = emulator.bill["total"]
    written, read = (total[f"cache_{kind}_input_tokens"] for kind in ("creation_1h", "read"))
    assert read == (len(warehouse(KEYS)) - 1) * written > 0


def test_late_rows_are_answered_at_list_price_and_a_second_run_pays_for_nothing(
    run_example, warehouse, tmp_path, emulator
):
    emulator.fail("lines", with_="canceled", share=0.3, times=None)
    emulator.fail("lines", with_="expired", share=0.2, times=None)
    assert states(run_example, deadline=soon()) == ["success"] * len(TASKS)
    check(tmp_path, warehouse)
    outcomes = dataset(tmp_path)["claude_outcome"].to_pylist()
    late = sum(outcome in ("canceled", "expired") for outcome in outcomes)
    assert 0 < late < len(outcomes)
    assert warehouse(TIERS) == [("batch", len(outcomes) - late), ("standard", late)]
    assert paid_calls(emulator) == (2, late)
    (file,) = tmp_path.glob("news/night=*/late/late.parquet")
    assert pc.sum(pq.read_table(file)["claude_cost_usd"]).as_py() == emulator.bill["messages"]["cost_usd"] > 0
    before = warehouse(TABLE)
    assert states(run_example)[1:] == ["skipped"] * (len(TASKS) - 1)
    assert warehouse(TABLE) == before
    assert paid_calls(emulator) == (2, late)


def test_where_no_batch_ends_what_max_late_leaves_out_is_missed_and_asked_for_in_the_next_run(
    run_example, warehouse, tmp_path, emulator
):
    emulator.settings(seconds_per_batch=23 * 3600)
    found = states(run_example, deadline=soon(), max_late=5)
    assert found == ["success"] * (len(TASKS) - 1) + ["failed"]
    assert warehouse(TIERS) == [("standard", 5)]
    assert {batch["request_counts"]["canceled"] for batch in emulator.batches} == {
        1,
        len(warehouse(KEYS)) - 1,
    }
    emulator.settings(seconds_per_batch=0)
    assert states(run_example)[-1] == "success"
    assert warehouse("select topic_id, language from translations order by all") == warehouse(KEYS)
    assert warehouse(TIERS) == [("batch", len(warehouse(KEYS)) - 5), ("standard", 5)]


@pytest.fixture(scope="module")
def parts():
    return runpy.run_path(str(EXAMPLE_DAGS / "translate_news_parts.py"))


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-sonnet-5-5"])
def test_the_style_guide_is_long_enough_for_the_cache(parts, model):
    mark = {"type": "ephemeral", "ttl": "1h"}
    block = {"type": "text", "text": parts["STYLE_GUIDE"], "cache_control": mark}
    prefix = cache_prefix({"model": model, "system": [block]})
    assert prefix.shared.least_tokens >= prefix.min_tokens


def test_a_retry_asks_only_for_the_late_rows_that_have_no_answer_on_record(parts, emulator, tmp_path):
    rows = [
        {"topic_id": number, "language": "de", "name": "A", "body": f"Text {number}.", "body_digest": "d"}
        for number in range(6)
    ]

    def ask():
        with anthropic.Anthropic(base_url=emulator.url, api_key="any", max_retries=0) as client:
            return parts["answer_all"](
                client,
                rows,
                lambda row: {
                    "model": "claude-haiku-5-5",
                    "max_tokens": 100,
                    "messages": [{"role": "user", "content": row["body"]}],
                    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
                },
                tmp_path,
                schema=SCHEMA,
                prices=PriceList.at(dt.datetime(2026, 11, 22, tzinfo=dt.UTC)),
            )

    emulator.fail("messages", with_="status", status=529, times=2)
    with pytest.raises(parts["UnansweredError"], match=r"2 of 6 late rows .* a retry asks for these alone"):
        ask()
    assert [row["text"] for row in ask()] == [f"Text {number}." for number in range(6)]
    assert emulator.calls.count_of("messages", 200) == 6
    assert emulator.faults_left == 0
