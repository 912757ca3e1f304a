import datetime as dt
import enum
import json

import msgspec
import pyarrow as pa
import pydantic
import pytest

from airflow_provider_claude_batch.core.json_schema_to_arrow import answer_columns, answer_struct
from airflow_provider_claude_batch.core.output_schema import to_json_schema, to_output_format
from airflow_provider_claude_batch.errors import OutputSchemaError


class Mood(enum.StrEnum):
    good = "good"
    bad = "bad"


class Span(pydantic.BaseModel):
    start: int
    words: list[str]


class Review(pydantic.BaseModel):
    mood: Mood
    score: float
    when: dt.date
    spans: list[Span]
    note: str | None = None


def arrow_types(schema):
    return {name: column.arrow for name, column in answer_columns(to_json_schema(schema)).items()}


def test_a_pydantic_model_a_json_schema_its_text_and_sql_columns_say_the_same():
    class Label(pydantic.BaseModel):
        sentiment: str
        score: float

    as_json = {"type": "object", "properties": {"sentiment": {"type": "string"}, "score": {"type": "number"}}}
    expected = {"sentiment": pa.string(), "score": pa.float64()}
    for schema in (Label, as_json, f"\n{json.dumps(as_json)}", "sentiment STRING, score DOUBLE"):
        assert arrow_types(schema) == expected


def test_nested_models_become_structs_and_enums_dictionaries():
    assert arrow_types(Review) == {
        "mood": pa.dictionary(pa.int32(), pa.string()),
        "score": pa.float64(),
        "when": pa.date32(),
        "spans": pa.list_(pa.struct([("start", pa.int64()), ("words", pa.list_(pa.string()))])),
        "note": pa.string(),
    }


def test_sql_types_cover_arrays_and_times():
    assert arrow_types("tags ARRAY<STRING>, n INT64, at TIMESTAMP, ok BOOL") == {
        "tags": pa.list_(pa.string()),
        "n": pa.int64(),
        "at": pa.timestamp("us", tz="UTC"),
        "ok": pa.bool_(),
    }


def test_every_object_is_closed_and_every_property_required():
    schema = to_json_schema(Review)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["mood", "score", "when", "spans", "note"]
    assert "$ref" not in json.dumps(schema)
    assert schema["properties"]["spans"]["items"]["additionalProperties"] is False


def test_bounds_are_checked_here_and_not_sent():
    schema = to_json_schema(
        {
            "type": "object",
            "properties": {
                "note": {"type": "string", "maxLength": 3},
                "n": {"type": "integer", "minimum": 1},
            },
        }
    )
    sent = to_output_format(schema)["schema"]["properties"]
    assert "maxLength" not in sent["note"]
    assert "minimum" not in sent["n"]
    decode = msgspec.json.Decoder(answer_struct(answer_columns(schema))).decode
    decode(b'{"note":"abc","n":1}')
    for answer in (
        b'{"note":"abcd","n":1}',
        b'{"note":"abc","n":0}',
        b'{"note":"abc"}',
        b'{"note":"a","n":1,"x":1}',
    ):
        with pytest.raises(msgspec.ValidationError):
            decode(answer)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("sentiment", "'sentiment' is not a column"),
        ("a NOSUCH", "'a NOSUCH' is not a column"),
        ({"type": "array"}, "must be an object"),
        ({"type": "object", "properties": {}}, "at least one property"),
        ({"type": "object", "properties": {"claude_x": {"type": "string"}}}, "begin with claude_"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/B"}}}, "which is not there"),
        (7, "output_schema is a int"),
    ],
)
def test_a_schema_that_no_parquet_could_hold_is_refused(schema, said):
    with pytest.raises(OutputSchemaError, match=said):
        to_json_schema(schema)


def test_a_recursive_schema_is_refused():
    tree = {"type": "object", "properties": {"child": {"$ref": "#/$defs/Tree"}}}
    with pytest.raises(OutputSchemaError, match="refers to itself"):
        to_json_schema({**tree, "$defs": {"Tree": tree}})
