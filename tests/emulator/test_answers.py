from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from anthropic import transform_schema
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_claude_batch.emulator.answers import answer
from airflow_provider_claude_batch.emulator.models import MODELS, find_model
from airflow_provider_claude_batch.emulator.pattern_to_text import pattern_to_text
from airflow_provider_claude_batch.emulator.schema_to_instance import schema_to_instance
from airflow_provider_claude_batch.emulator.source_text import SourceText
from airflow_provider_claude_batch.emulator.usage import text_tokens
from tests.emulator.building import labelled, params

PACKAGE = """Classify this package:

Name: duckdb
Stars: 4711
Maintained: yes

DuckDB is an in-process SQL database for analytics. It reads Parquet and talks to data frames.
"""

bounds = st.tuples(st.integers(-50, 50), st.integers(0, 50)).map(lambda pair: (pair[0], pair[0] + pair[1]))
lengths = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))
leaf_schemas = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({"type": ["string", "null"]}),
    st.just({"const": 7}),
    lengths.map(lambda pair: {"type": "string", "minLength": pair[0], "maxLength": pair[1]}),
    bounds.map(lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[1]}),
    bounds.map(lambda pair: {"type": "number", "exclusiveMinimum": pair[0], "exclusiveMaximum": pair[1] + 1}),
    st.sampled_from(["date", "date-time", "email", "uuid", "ipv4"]).map(
        lambda f: {"type": "string", "format": f}
    ),
    st.lists(st.text(min_size=1) | st.integers(), min_size=1, max_size=4).map(
        lambda values: {"enum": values}
    ),
    st.integers(1, 9).map(lambda step: {"type": "integer", "multipleOf": step, "minimum": 3}),
)
schemas = st.recursive(
    leaf_schemas,
    lambda inner: (
        st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4).map(
            lambda properties: {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
        )
        | st.tuples(inner, st.integers(0, 3)).map(
            lambda pair: {"type": "array", "items": pair[0], "minItems": pair[1], "maxItems": pair[1] + 1}
        )
        | st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
    ),
    max_leaves=10,
)


def said(reply: Any) -> str:
    return "".join(block.get("text", "") for block in reply.blocks)


def check(instance: object, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(instance)


@settings(deadline=None, max_examples=200)
@given(schemas, st.text(max_size=200) | st.just(PACKAGE))
def test_every_schema_gets_a_valid_instance_and_always_the_same(schema, text):
    instance = schema_to_instance(schema, SourceText(text))
    check(instance, schema)
    assert schema_to_instance(schema, SourceText(text)) == instance


def test_references_and_recursion_come_to_an_end():
    schema = {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                    "parent": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["name", "children", "parent"],
                "additionalProperties": False,
            }
        },
        "allOf": [{"$ref": "#/$defs/node"}],
    }
    check(schema_to_instance(schema, SourceText(PACKAGE)), schema)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{2}-\d{4}$",
        r"^(foo|bar)+$",
        r"^\w+@\w+\.com$",
        r"[^a-z ]{3,5}",
        r"^(?:a|b)?c*[xyz]$",
        r"^\S+ \S+$",
        r"^[\w.-]{2}\[\]$",
    ],
)
def test_a_pattern_gets_a_text_that_matches(pattern):
    check(pattern_to_text(pattern), {"type": "string", "pattern": pattern})
    check(
        schema_to_instance({"type": "string", "pattern": pattern}, SourceText(PACKAGE)), {"pattern": pattern}
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")
@settings(deadline=None)
@given(st.from_regex(r"[A-Za-z\[\]()|*+?.\\^$0-9{},-]{1,12}", fullmatch=True))
def test_a_pattern_never_breaks_the_answer(pattern):
    text = pattern_to_text(pattern)
    assume(text is not None)
    check(text, {"pattern": pattern})


def test_values_come_from_the_text():
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "stars": {"type": "integer"},
            "maintained": {"type": "boolean"},
            "topic": {"enum": ["Machine learning", "Databases", "web-framework"]},
            "tags": {"type": "array", "items": {"enum": ["web", "SQL", "analytics"]}},
            "summary": {"type": "string", "maxLength": 80},
        },
    }
    assert schema_to_instance(schema, SourceText(PACKAGE)) == {
        "name": "duckdb",
        "stars": 4711,
        "maintained": True,
        "topic": "Databases",
        "tags": ["SQL", "analytics"],
        "summary": "DuckDB is an in-process SQL database for analytics.",
    }


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("A web framework for building APIs quickly.", "web_framework"),
        ("Libraries to train models; machine learning for everyone", "machineLearning"),
        ("Nothing that anybody could know.", "database"),
    ],
)
def test_the_enum_value_whose_words_overlap_the_text_most_is_chosen(text, topic):
    schema = {"enum": ["database", "web_framework", "machineLearning"]}
    assert schema_to_instance(schema, SourceText(text)) == topic


def test_a_number_is_the_text_s_own_where_it_is_within_its_bounds_and_else_the_nearest_that_is():
    schema = {"type": "integer", "minimum": 1, "maximum": 5}
    assert schema_to_instance(schema, SourceText("I give it 4 of 5 stars")) == 4
    assert schema_to_instance(schema, SourceText("I would buy 400 of them")) == 1
    assert schema_to_instance({"type": "number", "multipleOf": 0.5}, SourceText("2.7 stars")) == 2.5


@st.composite
def bounded_numbers(draw):
    """Return a schema of a number, built around one that it takes."""
    kind, step = draw(st.sampled_from(["integer", "number"])), draw(st.sampled_from([1, 2, 7, 0.5, 2.5, 10]))
    taken = draw(st.integers(-9, 9)) * step * (2 if kind == "integer" else 1)
    away = st.integers(1, 40).map(lambda tenths: tenths / 10)
    bounds = {
        "minimum": taken - draw(st.just(0) | away),
        "maximum": taken + draw(st.just(0) | away),
        "exclusiveMinimum": taken - draw(away),
        "exclusiveMaximum": taken + draw(away),
        "multipleOf": step,
    }
    kept = draw(st.sets(st.sampled_from(sorted(bounds)), min_size=1))
    return {"type": kind, **{name: bounds[name] for name in kept}}


@given(bounded_numbers(), st.booleans(), st.lists(st.integers(-60, 60) | st.just(1.5), max_size=3))
def test_a_number_obeys_its_bounds_in_keywords_and_in_the_sdk_s_words(schema, is_moved, said):
    sent = transform_schema(schema) if is_moved else schema
    whole = {"type": "object", "required": ["n"], "properties": {"n": sent}}
    text = SourceText(f"It says {' and '.join(map(str, said))} here")
    check(schema_to_instance(whole, text)["n"], schema)


def test_without_a_schema_the_answer_is_an_extract_of_the_last_user_turn():
    turns = [
        {"role": "user", "content": "First."},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": [{"type": "text", "text": "Second of all."}]},
    ]
    reply = answer(params(messages=turns), MODELS[2])
    assert said(reply) == "Second of all."
    assert (reply.stop_reason, reply.output_tokens) == ("end_turn", text_tokens("Second of all."))


def test_an_answer_is_cut_at_max_tokens():
    reply = answer(params("A sentence that is long enough.", max_tokens=2), MODELS[2])
    assert (said(reply), reply.stop_reason, reply.output_tokens) == ("A senten", "max_tokens", 2)


def test_an_answer_stops_at_a_stop_sequence():
    reply = answer(params("One, two, three.", stop_sequences=["two"]), MODELS[2])
    assert (said(reply), reply.stop_reason, reply.stop_sequence) == ("One, ", "stop_sequence", "two")


def test_a_tool_is_used_with_a_valid_input():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [
        {"name": "get_time", "description": "Tell the time", "input_schema": {"type": "object"}},
        {"name": "get_weather", "description": "Tell the weather of a city", "input_schema": schema},
    ]
    reply = answer(params("What is the weather?\nCity: Rome", tools=tools), MODELS[2])
    (block,) = reply.blocks
    assert (reply.stop_reason, block["name"], block["input"]) == ("tool_use", "get_weather", {"city": "Rome"})


def test_a_tool_result_is_answered_with_text():
    tools = [{"name": "get_time", "input_schema": {"type": "object"}}]
    result = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "It is noon."}]
    reply = answer(params(tools=tools, messages=[{"role": "user", "content": result}]), MODELS[2])
    assert (reply.stop_reason, said(reply)) == ("end_turn", "It is noon.")


@pytest.mark.parametrize(
    ("model_id", "thinking", "thinks"),
    [
        ("claude-haiku-5-5", None, False),
        ("claude-haiku-5-5", {"type": "adaptive"}, True),
        ("claude-haiku-4-5", {"type": "enabled", "budget_tokens": 1024}, True),
        ("claude-opus-5-5", None, True),
    ],
)
def test_thinking_comes_first_and_is_counted(model_id, thinking, thinks):
    model = find_model(model_id)
    assert model is not None
    reply = answer(params(**({"thinking": thinking} if thinking else {})), model)
    assert [block["type"] for block in reply.blocks] == (["thinking", "text"] if thinks else ["text"])
    assert (reply.thinking_tokens > 0) is thinks
    assert reply.output_tokens == reply.thinking_tokens + text_tokens(said(reply))


def test_images_and_documents_are_accepted_and_their_text_is_read():
    content = [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "A document says so."},
        },
    ]
    assert (
        said(answer(params(messages=[{"role": "user", "content": content}]), MODELS[2]))
        == "A document says so."
    )


def test_a_schema_answer_is_compact_json():
    reply = answer(params("It is good.", **labelled()), MODELS[2])
    assert json.loads(said(reply)) == {"label": "good", "why": "It is good."}
