import json

import pyarrow as pa
import pytest

from airflow_provider_claude_batch.core.output_schema import to_json_schema
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
    assert counts == LineCounts(lines=5)


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
    assert counts == LineCounts(lines=5, foreign=3, doubled=1, missing=4)
    assert [row["claude_outcome"] for row in rows] == ["ok", *["missing"] * 4]
    assert rows[1]["claude_input_tokens"] is None


def test_a_rejected_row_says_why_and_was_sent_nowhere():
    rows, counts = join([line(0, succeeded())], count=3, rejected=(1, 2))
    assert counts == LineCounts(lines=1)
    assert [row["claude_outcome"] for row in rows] == ["ok", "rejected", "rejected"]
    assert rows[1]["claude_error_message"] == "why"
    assert rows[1]["claude_result_type"] is None
    assert rows[1]["claude_rounds"] == 0


def test_a_line_for_a_rejected_row_is_foreign():
    _, counts = join([line(0, succeeded()), line(1, succeeded())], count=2, rejected=(1,))
    assert counts == LineCounts(lines=2, foreign=1)


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
