import json

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.answers_to_arrow import AnswerReader
from airflow_provider_claude_batch.core.json_schema_to_arrow import answer_columns, answer_struct, open_object
from airflow_provider_claude_batch.core.output_schema import to_json_schema
from tests.core import wire_lines

RANDOM = st.randoms(use_true_random=True)
SCHEMA = to_json_schema(
    {
        "type": "object",
        "properties": {
            "label": {"enum": ["good", "bad"]},
            "score": {"type": "number"},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "count": {"type": "integer"},
            "is_new": {"type": "boolean"},
            "day": {"type": "string", "format": "date"},
            "at": {"type": "string", "format": "date-time"},
            "note": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "places": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"page": {"type": "integer"}, "kind": {"enum": ["a", "b"]}},
                },
            },
        },
    }
)


def answer(rnd):
    """Return the text of an answer that fits, or hardly does not."""
    value = {
        "label": rnd.choice(["good", "bad"]),
        "score": rnd.choice([0, 1.5, -3, 1e300, 2**60]),
        "share": rnd.random(),
        "count": rnd.choice([0, -7, 2**63 - 1]),
        "is_new": rnd.random() < 0.5,
        "day": rnd.choice(["2026-11-22", "0001-01-01"]),
        "at": rnd.choice(
            ["2026-11-22T01:02:03Z", "2026-11-22 01:02:03.123456+01:00", "1969-01-01T00:00:00Z"]
        ),
        "note": rnd.choice([None, "", "abc", "語😀"]),
        "tags": [rnd.choice("ab") for _ in range(rnd.randrange(3))],
        "places": [
            {"page": rnd.randrange(9), "kind": rnd.choice("ab")} for _ in range(rnd.choice([0, 1, 2]))
        ],
    }
    if rnd.random() < 0.3:
        value[rnd.choice([*value, "more"])] = rnd.choice([wire_lines.any_json(rnd), 1.0, None, "x"])
    if rnd.random() < 0.1:
        del value[rnd.choice(list(value))]
    if isinstance(value.get("places"), list) and rnd.random() < 0.1:
        value["places"].append(wire_lines.any_json(rnd))
    text = json.dumps(value, ensure_ascii=rnd.random() < 0.5, indent=rnd.choice([None, None, 1]))
    return text if rnd.random() < 0.9 else spoiled(rnd, text)


def spoiled(rnd, text):
    half = len(text) // 2
    return rnd.choice(
        [
            None,
            text[:half],
            text[half:],
            text + text,
            "{" + text + "}",
            text + "\n",
            f" {text}",
            f"{text} and more}}",
            text.replace('"label"', '"label": "good", "label"'),
            text.replace('"score": ', '"score": 0'),
            "null",
            "{}",
            "[]",
            '"{}"',
            "{} {}",
            "Sorry!",
        ]
    )


def expected(text):
    """Return the answer by msgspec alone, or ``None`` where it does not fit."""
    decoder = msgspec.json.Decoder(answer_struct(answer_columns(SCHEMA)))
    try:
        found = decoder.decode(text or "")
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return msgspec.json.decode(msgspec.json.encode(found))


def comparable(answers, row):
    if answers.misfits[row].as_py() is not None:
        assert all(column[row].as_py() is None for column in answers.columns.values())
        return None
    kinds = {name: column.arrow for name, column in answer_columns(SCHEMA).items()}
    values = {name: column[row].as_py() for name, column in answers.columns.items()}
    assert {name: column.type for name, column in answers.columns.items()} == kinds
    decoded = msgspec.convert(
        msgspec.to_builtins(values), answer_struct(answer_columns(SCHEMA)), strict=False
    )
    return msgspec.json.decode(msgspec.json.encode(decoded))


def instants(value):
    return None if value is None else {**value, "at": msgspec.convert(value["at"], type=MOMENT)}


MOMENT = answer_columns(SCHEMA)["at"].checked


@settings(max_examples=400, deadline=None)
@given(RANDOM)
def test_what_arrow_reads_is_what_msgspec_says_of_each_answer_alone(rnd):
    texts = [answer(rnd) for _ in range(rnd.randrange(1, 8))]
    likely = None if rnd.random() < 0.5 else pa.array([rnd.random() < 0.9 for _ in texts])
    answers = AnswerReader(SCHEMA).read(pa.array(texts, pa.string()), is_likely=likely)
    for row, text in enumerate(texts):
        assert instants(comparable(answers, row)) == instants(expected(text))


def test_answers_that_make_up_for_each_other_do_not_change_places():
    schema = to_json_schema({"type": "object", "properties": {"n": {"type": "integer"}}})
    texts = ['{"n":0}', '{"n":1}{"n":2}', '{"n":3', "}", '{"n":4}', '{"n":5}\n{"n":6}', "", '{"n":7}']
    answers = AnswerReader(schema).read(pa.array(texts))
    assert answers.columns["n"].to_pylist() == [0, None, None, None, 4, None, None, 7]


@pytest.mark.parametrize("schema", [{"type": "object"}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}])
def test_what_arrow_has_no_type_for_is_kept_as_json(schema):
    closed = to_json_schema({"type": "object", "properties": {"n": {"type": "integer"}, "free": schema}})
    value = {"a": [1]} if schema == {"type": "object"} else "a"
    texts = [
        json.dumps({"n": 1, "free": value}),
        "x",
        json.dumps({"n": 0, "free": value}).replace("0", '7, "n": 2'),
    ]
    answers = AnswerReader(closed).read(pa.array(texts))
    assert answers.columns["n"].to_pylist() == [1, None, 2]
    kept = [None if text is None else json.loads(text) for text in answers.columns["free"].to_pylist()]
    assert kept == [value, None, value]


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "integer"}, None),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, None),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "$.x"),
        ({"type": "array", "items": {"type": "object"}}, "$.x[]"),
        ({"anyOf": [{"type": "null"}, {"type": "object", "properties": {}}]}, "$.x"),
    ],
)
def test_an_object_without_declared_properties_is_found(schema, path):
    assert open_object(to_json_schema({"type": "object", "properties": {"x": schema}})) == path
