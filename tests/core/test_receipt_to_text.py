import pytest

from airflow_provider_claude_batch.core.receipt_to_text import receipt_to_text, seconds_to_text
from tests.receipts import receipt


def test_a_receipt_is_a_headline_and_a_list():
    text = receipt_to_text(receipt(rows=98_214, outcomes={"ok": 97_800, "refused": 414}, cost_usd="4.04"))
    assert text.splitlines() == [
        "label / night / load: 98,214 rows published",
        "",
        "- rows: 97,800 ok, 414 refused",
        "- tokens: 20 k in (45 % from the cache), 2.0 k out",
        "- cost: $4.04, $0.041 per 1,000 rows",
        "- claude-haiku-5-5, 1 batch, 1 round, 1 h 0 min, longest batch 30 min",
        "- s3://lake/labels/data.parquet",
    ]


def test_a_mapped_task_is_named_with_its_index():
    assert receipt_to_text(receipt(map_index=3)).startswith("label / night / load[3]:")


def test_the_list_price_and_reused_rows_are_said_where_known():
    text = receipt_to_text(receipt(list_cost_usd="0.02", reused_rows=7))
    assert "(list price $0.02)" in text
    assert "; 7 paid for earlier" in text


def test_a_cost_that_is_not_known_is_said():
    assert "- cost: not known; there is no price of claude-haiku-5-5" in receipt_to_text(
        receipt(cost_usd=None)
    )


def test_of_many_files_the_first_are_named():
    text = receipt_to_text(receipt(files=[f"part-{i}" for i in range(7)]))
    assert text.splitlines()[-2:] == ["- part-4", "- and 2 more files"]


def test_nothing_published_has_a_text_too():
    text = receipt_to_text(
        receipt(rows=0, outcomes={}, tokens={}, batch_ids=[], batch_seconds=[], cost_usd="0")
    )
    assert "- rows: none\n- tokens: 0 in, 0 out\n- cost: $0.00\n" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (90, "2 min"), (3_599, "60 min"), (5_400, "1 h 30 min")]
)
def test_seconds_are_told_as_people_do(seconds, text):
    assert seconds_to_text(seconds) == text
