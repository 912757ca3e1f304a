import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.core.output_schema import to_json_schema
from airflow_provider_claude_batch.core.prices import PRICED_KINDS, PriceList
from airflow_provider_claude_batch.core.results_to_arrow import LineCounts, published_schema, results_to_arrow
from airflow_provider_claude_batch.errors import ResultsIncompleteError

IDENTITY = "0123456789abcdef"
LABEL = to_json_schema("label STRING, score DOUBLE")
USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 7,
    "cache_read_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
    "output_tokens": 20,
    "output_tokens_details": {"thinking_tokens": 2},
    "service_tier": "batch",
}


def keys(count, *, first=0, rejected=(), readable=""):
    return pa.table(
        {
            "claude_custom_id": [f"{readable}{IDENTITY}-{first + i}" for i in range(count)],
            "claude_sample": pa.array([0] * count, pa.int32()),
            "id": pa.array([100 + first + i for i in range(count)], pa.int32()),
            "claude_request_digest": ["d"] * count,
            "claude_rejected": pa.array(
                ["why" if i in rejected else None for i in range(count)], pa.string()
            ),
        }
    )


def line(ordinal, result):
    return json.dumps({"custom_id": f"{IDENTITY}-{ordinal}", "result": result}).encode()


def succeeded(text='{"label":"x","score":1.5}', *, stop_reason="end_turn", blocks=None):
    content = [{"type": "text", "text": text, "citations": None}] if blocks is None else blocks
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": content,
        "stop_reason": stop_reason,
        "usage": USAGE,
    }
    return {"type": "succeeded", "message": message}


def errored(kind="overloaded_error"):
    error = {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "req_1"}
    return {"type": "errored", "error": error}


def join(lines, *, count, schema=LABEL, first=0, lines_per_block=3, rejected=()):
    counts = LineCounts()
    blocks = [lines[i : i + lines_per_block] for i in range(0, len(lines), lines_per_block)]
    batches = results_to_arrow(
        [b"".join(one + b"\n" for one in block) for block in blocks],
        keys=keys(count, first=first, rejected=rejected),
        batch_id="msgbatch_1",
        json_schema=schema,
        counts=counts,
    )
    table = pa.Table.from_batches(list(batches), published_schema(keys(1).schema, schema))
    return table.sort_by("id").to_pylist(), counts


def test_lines_in_any_order_find_their_rows():
    rows, counts = join(
        [line(i, succeeded(f'{{"label":"{i}","score":0}}')) for i in (4, 2, 0, 3, 1)], count=5
    )
    assert [(row["id"], row["label"]) for row in rows] == [(100 + i, str(i)) for i in range(5)]
    assert counts == LineCounts(lines=5, succeeded=5)


def test_a_later_shard_begins_at_its_own_ordinal():
    rows, _ = join([line(12, succeeded()), line(11, errored())], count=2, first=11)
    assert [(row["id"], row["claude_outcome"]) for row in rows] == [(111, "errored"), (112, "ok")]


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (succeeded(), "ok"),
        (succeeded(stop_reason="max_tokens"), "truncated"),
        (succeeded(stop_reason="model_context_window_exceeded"), "truncated"),
        (succeeded(stop_reason="pause_turn"), "truncated"),
        (succeeded(stop_reason="refusal", blocks=[]), "refused"),
        (succeeded("not JSON"), "invalid_output"),
        (succeeded('{"label":"x"}'), "invalid_output"),
        (succeeded('{"label":7,"score":1}'), "invalid_output"),
        (succeeded(blocks=[]), "invalid_output"),
        (errored(), "errored"),
        ({"type": "canceled"}, "canceled"),
        ({"type": "expired"}, "expired"),
    ],
)
def test_every_result_has_its_outcome(result, outcome):
    rows, _ = join([line(0, result)], count=1)
    assert rows[0]["claude_outcome"] == outcome
    assert rows[0]["claude_result_type"] == result["type"]
    if outcome != "ok":
        assert rows[0]["label"] is None or outcome == "truncated"


def test_the_raw_text_of_an_answer_that_does_not_fit_is_kept():
    rows, _ = join([line(0, succeeded("Sorry!"))], count=1)
    assert rows[0]["claude_text"] == "Sorry!"


def test_text_is_all_text_blocks_whatever_comes_first():
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "one "},
        {"type": "tool_use", "id": "t", "name": "n", "input": {}},
        {"type": "text", "text": "two"},
    ]
    rows, _ = join([line(0, succeeded(blocks=blocks))], count=1, schema=None)
    assert rows[0]["claude_text"] == "one two"
    assert rows[0]["claude_outcome"] == "ok"


def test_all_usage_counters_are_kept():
    rows, _ = join([line(0, succeeded()), line(1, errored())], count=2)
    kinds = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read", "thinking")
    assert [rows[0][f"claude_{kind}_tokens"] for kind in kinds] == [10, 20, 3, 4, 5, 2]
    assert [rows[1][f"claude_{kind}_tokens"] for kind in kinds] == [0] * 6


def test_the_error_is_found_where_the_api_nests_it():
    rows, _ = join([line(0, errored("invalid_request_error"))], count=1)
    assert rows[0]["claude_error_type"] == "invalid_request_error"
    assert rows[0]["claude_error_message"] == "no"
    assert rows[0]["claude_request_id"] == "req_1"


def test_foreign_and_doubled_lines_are_counted_and_requests_without_a_line_are_missing():
    foreign = [
        b'{"custom_id":"other-0","result":{"type":"expired"}}',
        line(7, errored()),
        line("x", errored()),
    ]
    rows, counts = join([line(0, succeeded()), line(0, errored()), *foreign], count=5)
    assert counts == LineCounts(lines=5, foreign=3, doubled=1, missing=4, succeeded=1)
    assert [row["claude_outcome"] for row in rows] == ["ok", *["missing"] * 4]
    assert rows[1]["claude_input_tokens"] is None


@pytest.mark.parametrize("lines_per_block", [1, 2, 9])
def test_doubled_lines_that_say_something_else_than_the_first_are_counted_where_asked_for(lines_per_block):
    lines = [line(0, succeeded()), line(1, errored()), line(1, succeeded()), line(0, succeeded())]
    for compared, differing in [(True, 1), (False, 0)]:
        counts = LineCounts()
        blocks = [
            b"".join(one + b"\n" for one in lines[start : start + lines_per_block])
            for start in range(0, len(lines), lines_per_block)
        ]
        rows = results_to_arrow(
            blocks,
            keys=keys(2),
            batch_id="msgbatch_1",
            json_schema=LABEL,
            counts=counts,
            compare_doubled=compared,
        )
        assert sum(batch.num_rows for batch in rows) == 2
        assert counts == LineCounts(lines=4, doubled=2, differing=differing, succeeded=1)


def test_reads_in_which_the_same_requests_have_no_line_are_told_from_others():
    def digest(*ordinals):
        return join([line(i, succeeded()) for i in ordinals], count=4)[1].missing_digest

    assert digest(0, 1, 2) == digest(2, 1, 0)
    assert digest(0, 1, 2) != digest(0, 1, 3)


def test_a_rejected_row_says_why_and_was_sent_nowhere():
    rows, counts = join([line(0, succeeded())], count=3, rejected=(1, 2))
    assert counts == LineCounts(lines=1, succeeded=1)
    assert [row["claude_outcome"] for row in rows] == ["ok", "rejected", "rejected"]
    assert rows[1]["claude_error_message"] == "why"
    assert rows[1]["claude_result_type"] is None
    assert rows[1]["claude_rounds"] == 0


def test_a_line_for_a_rejected_row_is_foreign():
    _, counts = join([line(0, succeeded()), line(1, succeeded())], count=2, rejected=(1,))
    assert counts == LineCounts(lines=2, foreign=1, succeeded=1)


def test_a_lone_surrogate_becomes_a_replacement_character():
    raw = line(0, succeeded(blocks=[{"type": "text", "text": "@@"}])).replace(b"@@", b"a\\ud800b")
    rows, _ = join([raw], count=1, schema=None)
    assert rows[0]["claude_text"] == "a\ufffdb"


@pytest.mark.parametrize(
    "cut", [b'{"custom_id":"secret', b"<html>secret", b'{"custom_id":7}', b'{"secret":1}']
)
def test_a_line_that_is_no_result_is_an_error_that_does_not_quote_it(cut):
    with pytest.raises(ResultsIncompleteError, match="line 2") as caught:
        join([line(0, succeeded()), cut], count=2)
    assert "secret" not in str(caught.value)


def test_columns_come_in_their_order():
    schema = published_schema(keys(1).schema, LABEL)
    assert schema.names[:4] == ["id", "label", "score", "claude_custom_id"]
    assert schema.field("id").type == pa.int32()


def table_of(lines, keys, **arguments):
    given = {"batch_id": "msgbatch_1", "json_schema": LABEL, "counts": LineCounts(), **arguments}
    rows = results_to_arrow([b"".join(one + b"\n" for one in lines)], keys=keys, **given)
    schema = published_schema(
        keys.schema, given["json_schema"], keep_content=given.get("keep_content", False)
    )
    return pa.Table.from_batches(list(rows), schema)


def with_prior(table, *, cost):
    for kind in ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read", "thinking"):
        table = table.append_column(f"claude_prior_{kind}_tokens", pa.array([100] * len(table), pa.int64()))
    table = table.append_column("claude_previous_custom_id", pa.array(["before"] * len(table)))
    costs = pa.array([Decimal(cost)] * len(table), pa.decimal128(20, 12))
    return table.append_column("claude_prior_cost_usd", costs)


def test_tokens_of_earlier_rounds_are_added_also_where_no_line_came():
    table = table_of(
        [line(0, succeeded()), line(1, errored())], with_prior(keys(3), cost="1"), round_number=2
    )
    assert table["claude_input_tokens"].to_pylist() == [110, 100, 100]
    assert table["claude_thinking_tokens"].to_pylist() == [102, 100, 100]
    assert table["claude_rounds"].to_pylist() == [2, 2, 2]
    assert table.schema == published_schema(keys(1).schema, LABEL)


def test_a_cost_is_this_rounds_and_the_earlier_ones():
    prices = PriceList.at(
        dt.datetime(2026, 11, 22, tzinfo=dt.UTC),
        own={"claude-haiku-5-5": dict.fromkeys(PRICED_KINDS, "1")},
    )
    lines = [line(0, succeeded()), line(1, errored()), line(2, succeeded())]
    lines[2] = lines[2].replace(b"claude-haiku-5-5", b"of-no-known-price")
    table = table_of(lines, with_prior(keys(4), cost="2"), price_list=prices)
    own = Decimal(10 + 20 + 3 + 4 + 5) / 1_000_000
    assert table["claude_cost_usd"].to_pylist() == [2 + own, 2, None, 2]


def test_a_row_that_billed_nothing_costs_nothing():
    prices = PriceList.at(dt.datetime(2026, 11, 22, tzinfo=dt.UTC))
    table = table_of([line(0, errored())], keys(3, rejected=(2,)), price_list=prices)
    assert table["claude_outcome"].to_pylist() == ["errored", "missing", "rejected"]
    assert table["claude_cost_usd"].to_pylist() == [0, 0, 0]


def test_costs_without_prices_stay_null():
    table = table_of([line(0, succeeded())], with_prior(keys(2), cost="2"))
    assert table["claude_cost_usd"].to_pylist() == [None, None]


def test_content_is_the_last_column_and_only_when_asked_for():
    table = table_of([line(0, succeeded()), line(1, errored())], keys(3), keep_content=True)
    assert table.schema.names[-1] == "claude_content"
    content = [None if text is None else json.loads(text) for text in table["claude_content"].to_pylist()]
    assert content == [succeeded()["message"]["content"], None, None]
    assert "claude_content" not in published_schema(keys(1).schema, LABEL).names


def test_a_line_that_cannot_be_read_is_counted_and_its_row_is_errored():
    counts = LineCounts()
    table = table_of([line(0, succeeded()), line(1, succeeded())[:-5]], keys(2), counts=counts)
    assert counts == LineCounts(lines=2, unreadable=1, succeeded=1)
    assert table["claude_outcome"].to_pylist() == ["ok", "errored"]
    assert table["claude_error_type"].to_pylist() == [None, "unreadable_result"]


def test_an_id_with_a_readable_part_is_found_as_a_whole():
    raw = line(0, errored()).replace(IDENTITY.encode(), b"ab-c-" + IDENTITY.encode())
    assert table_of([raw], keys(1, readable="ab-c-"))["claude_outcome"].to_pylist() == ["errored"]
    counts = LineCounts()
    table_of([raw], keys(1), counts=counts)
    assert counts == LineCounts(lines=1, foreign=1, missing=1)


NESTED = to_json_schema(
    {
        "type": "object",
        "properties": {
            "mood": {"enum": ["good", "bad"]},
            "spans": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "kind": {"enum": ["a", "b"]},
                        "days": {"type": "array", "items": {"type": "string", "format": "date"}},
                    },
                },
            },
            "at": {"type": "string", "format": "date-time"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    }
)


def nested(mood="good", at="2026-11-22T01:02:03+01:00", note=None):
    spans = [{"kind": "b", "days": ["2026-01-02"]}, {"kind": "a", "days": []}]
    return succeeded(json.dumps({"mood": mood, "spans": spans, "at": at, "note": note}))


def test_nested_answers_enums_and_dates_come_back_from_parquet_as_they_are(tmp_path):
    lines = [line(0, nested()), line(1, nested(mood="bad", note="n")), line(2, errored())]
    table = table_of(lines, keys(3), json_schema=NESTED)
    pq.write_table(table, tmp_path / "rows.parquet")
    read = pq.read_table(tmp_path / "rows.parquet")
    assert read.schema == table.schema
    assert read.schema.field("mood").type == pa.dictionary(pa.int32(), pa.string())
    assert read["mood"].to_pylist() == ["good", "bad", None]
    spans = [{"kind": "b", "days": [dt.date(2026, 1, 2)]}, {"kind": "a", "days": []}]
    assert read["spans"].to_pylist() == [spans, spans, None]
    assert read["at"][0].as_py() == dt.datetime(2026, 11, 22, 0, 2, 3, tzinfo=dt.UTC)
    assert read["note"].to_pylist() == [None, "n", None]


@pytest.mark.parametrize("odd", [nested(mood="ugly"), nested(at="yesterday"), succeeded('{"mood":"good"}')])
def test_an_answer_that_does_not_fit_leaves_its_neighbours_as_they_are(odd):
    table = table_of([line(0, nested()), line(1, odd), line(2, nested())], keys(3), json_schema=NESTED)
    assert table["claude_outcome"].to_pylist() == ["ok", "invalid_output", "ok"]
    assert table["mood"].to_pylist() == ["good", None, "good"]
    assert table["claude_text"][1].as_py() == odd["message"]["content"][0]["text"]
