import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.request_template import build_params, compile_request
from airflow_provider_claude_batch.core.row_template import value_to_text
from airflow_provider_claude_batch.core.rows_to_requests import (
    RowsToRequests,
    check_source_columns,
    rows_to_requests,
)
from airflow_provider_claude_batch.errors import ClaudeBatchInputError, QueryError, RowError, RowTemplateError

IDENTITY = "0123456789abcdef"


def encode(rows, *, prompt="{body}", key=("id",), passthrough=(), first_row=0, **params):
    arguments = {
        "model": "claude-haiku-5-5",
        "max_tokens": 9,
        "system": None,
        "output_format": None,
        "request_params": {},
    }
    template = compile_request(
        build_params(prompt=prompt, **{**arguments, **params}), columns=rows.schema.names
    )
    how = RowsToRequests(
        identity=IDENTITY, template=template, key=key, passthrough=passthrough, digest_context=b""
    )
    return rows_to_requests(rows, how, first_row=first_row)


def rows_of(bodies):
    return pa.RecordBatch.from_pydict({"id": list(range(len(bodies))), "body": pa.array(bodies, pa.string())})


@given(st.lists(st.text(), min_size=1), st.text().filter(lambda text: "{" not in text))
def test_every_text_arrives_as_the_slow_and_obvious_way_would_send_it(bodies, literal):
    encoded = encode(rows_of(bodies), prompt=f"{literal}{{body}}!{{id:03d}}", system="{body}")
    for number, (request, body) in enumerate(zip(encoded.requests, bodies, strict=True)):
        assert json.loads(request) == {
            "custom_id": f"{IDENTITY}-{number}",
            "params": {
                "model": "claude-haiku-5-5",
                "max_tokens": 9,
                **({"system": body}),
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
    assert keys.schema.names == ["claude_custom_id", "price", "at", "claude_request_digest"]
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
        ({"id": [1, 2], "body": ["a", None]}, r"row 11 \(id=2\): \{body\} of the template .* it is null"),
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
        (["body"], "does not return id"),
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


def test_the_reference_for_texts_is_python_s_own_format():
    assert value_to_text(1234.5, ",.1f") == "1,234.5"
