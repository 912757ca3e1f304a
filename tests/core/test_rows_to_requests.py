import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.check_request import Problem
from airflow_provider_claude_batch.core.check_source import check_source_columns
from airflow_provider_claude_batch.core.custom_ids import parse_custom_id
from airflow_provider_claude_batch.core.request_template import build_params, compile_request
from airflow_provider_claude_batch.core.rows_to_requests import RowsToRequests, rows_to_requests
from airflow_provider_claude_batch.errors import (
    ClaudeBatchInputError,
    QueryError,
    RequestTooLargeError,
    RowError,
    RowTemplateError,
)

IDENTITY = "0123456789abcdef"


def encode(
    rows, *, prompt="{body}", messages=None, key=("id",), passthrough=(), first_row=0, how=None, **params
):
    arguments = {"model": "m", "max_tokens": 9, "system": None, "output_format": None, "request_params": {}}
    built = build_params(
        messages=messages or [{"role": "user", "content": prompt}], **{**arguments, **params}
    )
    given = {
        "identity": IDENTITY,
        "template": compile_request(built, columns=rows.schema.names),
        "key": key,
        "passthrough": passthrough,
        "digest_context": b"",
        "on_invalid_row": "fail",
        **(how or {}),
    }
    return rows_to_requests(rows, RowsToRequests(**given), first_row=first_row)


def rows_of(bodies):
    return pa.RecordBatch.from_pydict({"id": list(range(len(bodies))), "body": pa.array(bodies, pa.string())})


@given(st.lists(st.text(), min_size=1), st.text().filter(lambda text: "{" not in text))
def test_every_text_arrives_as_the_slow_and_obvious_way_would_send_it(bodies, literal):
    encoded = encode(rows_of(bodies), prompt=f"{literal}{{body}}!{{id:03d}}", system="-{body}")
    for number, (request, body) in enumerate(zip(encoded.requests, bodies, strict=True)):
        assert json.loads(request) == {
            "custom_id": f"{IDENTITY}-{number}",
            "params": {
                "model": "m",
                "max_tokens": 9,
                "system": f"-{body}",
                "messages": [{"role": "user", "content": f"{literal}{body}!{number:03d}"}],
            },
        }


def test_no_request_holds_a_line_end():
    encoded = encode(rows_of(["a\nb\r\n\u2028\x00"]), prompt="x\n{body}")
    assert b"\n" not in encoded.requests[0]


def test_keys_keep_the_types_of_the_source():
    rows = pa.RecordBatch.from_pydict(
        {
            "price": pa.array([Decimal("1.10")], pa.decimal128(9, 2)),
            "at": pa.array([0], pa.timestamp("us", tz="Europe/Berlin")),
            "body": ["x"],
        }
    )
    keys = encode(rows, key=("price",), passthrough=("at",), first_row=41).keys
    assert keys.schema.names == [
        "claude_custom_id",
        "claude_sample",
        "price",
        "at",
        "claude_request_digest",
        "claude_rejected",
    ]
    assert keys.schema.field("price").type == pa.decimal128(9, 2)
    assert keys.schema.field("at").type == pa.timestamp("us", tz="Europe/Berlin")
    assert keys.column("claude_custom_id").to_pylist() == [f"{IDENTITY}-41"]


def test_the_digest_leaves_out_the_custom_id_and_nothing_else():
    same = encode(rows_of(["x", "x", "y"])).keys.column("claude_request_digest").to_pylist()
    other_limit = encode(rows_of(["x"]), max_tokens=10).keys.column("claude_request_digest").to_pylist()
    assert same[0] == same[1] != same[2]
    assert other_limit[0] != same[0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"id": [1, None], "body": ["a", "b"]}, r"row 11: id is null, and it is part of the key"),
        ({"id": [1, 2], "body": ["a", None]}, r"row 11 \(id=2\): \{body\} of the template is null"),
        ({"id": [1], "body": [b"a"]}, r"row 10 \(id=1\): .* it is binary"),
    ],
)
def test_a_row_that_cannot_be_sent_is_named_by_number_and_key(rows, said):
    with pytest.raises(RowError, match=said):
        encode(pa.RecordBatch.from_pydict(rows), first_row=10)


def test_a_key_of_lists_is_refused():
    with pytest.raises(QueryError, match="id holds lists"):
        encode(pa.RecordBatch.from_pydict({"id": [[1]], "body": ["a"]}))


def test_a_template_that_names_a_column_that_is_not_there_says_where():
    with pytest.raises(RowTemplateError, match=r"\$\.messages\[0\]\.content names \{text\}"):
        encode(rows_of(["a"]), prompt="{text}")


@pytest.mark.parametrize("name", ["model", "messages", "max_tokens", "system"])
def test_request_params_may_not_repeat_an_argument(name):
    with pytest.raises(ClaudeBatchInputError, match=f"repeats {name}"):
        encode(rows_of(["a"]), request_params={name: "x"})


def test_a_schema_and_other_output_config_go_together():
    encoded = encode(
        rows_of(["a"]),
        request_params={"output_config": {"effort": "low"}},
        output_format={"type": "json_schema"},
    )
    params = json.loads(encoded.requests[0])["params"]
    assert params["output_config"] == {"effort": "low", "format": {"type": "json_schema"}}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["body"], "key names id, but the source returns only body"),
        (["id", "id", "body"], "returns id more than once"),
        (["id", "claude_x"], "begin with claude_"),
        (["id", "label"], "label: in the output schema"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns, said):
    with pytest.raises(QueryError, match=said):
        check_source_columns(
            columns, key=["id"], passthrough=[c for c in columns if c not in ("id", "body")], answer=["label"]
        )


def test_a_row_becomes_as_many_requests_as_samples_are_asked_for():
    encoded = encode(rows_of(["x", "y"]), first_row=5, how={"samples_per_row": 3})
    ids = [json.loads(request)["custom_id"] for request in encoded.requests]
    assert ids == [f"{IDENTITY}-{ordinal}" for ordinal in range(15, 21)]
    assert encoded.keys.column("claude_custom_id").to_pylist() == ids
    assert encoded.keys.column("claude_sample").to_pylist() == [0, 1, 2, 0, 1, 2]
    assert encoded.keys.column("id").to_pylist() == [0, 0, 0, 1, 1, 1]
    assert len(encoded.key_hashes) == 2


@pytest.mark.parametrize(
    ("on_null", "texts", "rejected"), [("empty", ["a!", "!"], 0), ("reject", ["a!", None], 1)]
)
def test_a_null_in_the_template_is_what_the_author_says(on_null, texts, rejected):
    encoded = encode(rows_of(["a", None]), prompt="{body}!", how={"on_null": on_null})
    sent = [json.loads(r)["params"]["messages"][0]["content"] if r else None for r in encoded.requests]
    assert sent == texts
    assert encoded.rejected_rows == rejected


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u3000"])
def test_a_turn_that_a_row_leaves_empty_is_not_sent(blank):
    with pytest.raises(RowError, match=r"\(id=1\): \$\.messages\[0\]\.content is empty"):
        encode(rows_of(["a", blank]))
    assert encode(rows_of([blank]), prompt="> {body}").rejected_rows == 0


def test_rejected_rows_keep_their_place_and_their_reason():
    encoded = encode(rows_of(["a", "", "b"]), how={"on_invalid_row": "reject"})
    assert [bool(request) for request in encoded.requests] == [True, False, True]
    assert encoded.keys.column("claude_rejected").to_pylist() == [
        None,
        "$.messages[0].content is empty",
        None,
    ]
    assert encoded.rejected_rows == 1


def test_a_request_larger_than_a_batch_is_named():
    with pytest.raises(RequestTooLargeError, match="id=1"):
        encode(rows_of(["a", "b" * 200]), how={"max_body_bytes": 200})


def test_a_readable_part_stands_in_front_of_the_identity():
    encoded = encode(rows_of(["a"]), how={"custom_id_from": "id"})
    (custom_id,) = encoded.keys.column("claude_custom_id").to_pylist()
    assert custom_id == f"0-{IDENTITY}-0"
    assert parse_custom_id(custom_id) == (IDENTITY, 0)


@pytest.mark.parametrize("value", ["a b", "a/b", "", "x" * 60, "\u00e4"])
def test_a_value_that_fits_no_custom_id_is_named_by_its_key(value):
    with pytest.raises(QueryError, match=r"1 of these 2 rows .* id=1"):
        encode(rows_of(["ok-_1", value]), prompt="x", how={"custom_id_from": "body"})


@pytest.mark.parametrize("foreign", ["", "-", "abc", f"{IDENTITY}-", f"{IDENTITY}-x", f"{IDENTITY}-\u0663"])
def test_an_id_that_was_not_made_here_is_not_read_as_one(foreign):
    assert parse_custom_id(foreign) is None


def test_several_turns_and_blocks_take_columns_everywhere():
    rows = pa.RecordBatch.from_pydict(
        {"id": [1], "body": ["hi"], "png": pa.array([b"\x00\xff"], pa.binary())}
    )
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "{png}"}}
    messages = [
        {"role": "user", "content": 'Example {"a": 1}'},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": [image, {"type": "text", "text": "{body} {id}"}]},
    ]
    (request,) = encode(rows, messages=messages, system=[{"type": "text", "text": "for {body}"}]).requests
    params = json.loads(request)["params"]
    assert params["messages"][:2] == messages[:2]
    assert params["messages"][2]["content"][0]["source"]["data"] == "AP8="
    assert params["messages"][2]["content"][1]["text"] == "hi 1"
    assert params["system"] == [{"type": "text", "text": "for hi"}]


def test_an_author_s_function_makes_the_whole_request():
    how = {"build_request": lambda row: {"model": "m", "stop": row["body"]}, "check": lambda params: []}
    encoded = encode(rows_of(["a", "b"]), how=how)
    assert [json.loads(r)["params"]["stop"] for r in encoded.requests] == ["a", "b"]


def test_what_an_author_s_function_makes_is_checked_row_by_row():
    how = {
        "build_request": lambda row: {"n": row["id"]},
        "check": lambda params: [Problem("$.n", "is odd")] if params["n"] % 2 else [],
    }
    with pytest.raises(RowError, match=r"row 1 \(id=1\): \$\.n is odd"):
        encode(rows_of(["a", "b"]), how=how)
    assert encode(rows_of(["a", "b"]), how={**how, "on_invalid_row": "reject"}).rejected_rows == 1


def test_an_author_s_function_that_fails_is_named_without_its_message():
    def build_request(row):
        raise ValueError(row["body"])

    with pytest.raises(RowError, match=r"row 0 .*build_request raised ValueError in line \d+ of") as caught:
        encode(rows_of(["secret"]), how={"build_request": build_request, "on_invalid_row": "reject"})
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
