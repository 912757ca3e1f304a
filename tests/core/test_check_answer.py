import datetime as dt
import json
import subprocess
import sys

import pytest

from airflow_provider_claude_batch.core.check_answer import answer_checker
from airflow_provider_claude_batch.core.output_schema import to_json_schema
from airflow_provider_claude_batch.errors import OutputSchemaError
from tests.core.test_results_to_arrow import join, line, succeeded

TEXT = {"type": "string"}


def schema_of(**properties):
    return to_json_schema({"type": "object", "properties": properties})


def outcome_of(value, node):
    """Return outcome, message and value of an answer whose one property is ``value``."""
    answer = json.dumps({"x": value}) if not isinstance(value, bytes) else f'{{"x":{value.decode()}}}'
    rows, _ = join([line(0, succeeded(answer))], count=1, schema=schema_of(x=node))
    return rows[0]["claude_outcome"], rows[0]["claude_error_message"], rows[0]["x"]


@pytest.mark.parametrize(
    ("node", "good", "bad", "said"),
    [
        ({"type": "array", "items": TEXT, "minItems": 1}, ["a"], [], "$.x fails minItems"),
        ({"type": "array", "items": TEXT, "maxItems": 1}, ["a"], ["a", "secret"], "$.x fails maxItems"),
        (
            {"type": "array", "items": TEXT, "uniqueItems": True},
            ["a", "b"],
            ["secret", "secret"],
            "$.x fails uniqueItems",
        ),
        ({"type": "array", "contains": {"const": 1}}, [2, 1], [2], "$.x fails contains"),
        (
            {"type": "array", "items": {"type": "string", "format": "uuid"}},
            [],
            ["secret"],
            "$.x[0] fails format",
        ),
        ({"type": "number", "multipleOf": 0.1}, 0.3, 0.35, "$.x fails multipleOf"),
        ({"type": "number", "multipleOf": 0.01}, b"1e2", b"1e-300", "$.x fails multipleOf"),
        ({"type": "integer", "multipleOf": 5}, 10, 11, "$.x fails multipleOf"),
        ({"type": "integer", "not": {"const": 3}}, 2, 3, "$.x fails not"),
        ({"enum": ["a", 1, True, 0.5]}, 0.5, "secret", "$.x fails enum"),
        ({"enum": [True, False]}, True, 1, "$.x fails enum"),
        ({"const": [1]}, [1], [2], "$.x fails const"),
        ({"anyOf": [TEXT, {"type": "integer"}]}, 7, 7.5, "$.x fails anyOf"),
        ({"anyOf": [TEXT, {"type": "integer"}, {"type": "null"}]}, None, True, "$.x fails anyOf"),
        (
            {"type": "object", "patternProperties": {"^a": TEXT}},
            {"a": "b"},
            {"a-secret": 1},
            "$.x.* fails type",
        ),
        ({"type": "object", "minProperties": 1}, {"a": 1}, {}, "$.x fails minProperties"),
        ({"type": "object"}, {}, "secret", "$.x fails type"),
        ({"type": "array"}, [1], {}, "$.x fails type"),
        (
            {"type": "object", "properties": {"y": {"type": "array", "items": TEXT, "minItems": 2}}},
            {"y": ["a", "b"]},
            {"y": ["secret"]},
            "$.x.y fails minItems",
        ),
    ],
)
def test_a_keyword_that_no_type_covers_is_checked(node, good, bad, said):
    assert outcome_of(good, node)[:2] == ("ok", None)
    outcome, message, value = outcome_of(bad, node)
    assert outcome == "invalid_output"
    assert message == f"The answer breaks output_schema: {said}"
    assert value is None


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("uuid", "00000000-0000-0000-0000-000000000007", "00000000000000000000000000000007"),
        ("email", "a@b.example", "a b.example"),
        ("time", "03:04:05Z", "03:04"),
        ("duration", "P1DT2H", "1 day"),
        ("hostname", "a.example", "a_b"),
        ("uri", "https://a.example/b?c#d", "a.example/b"),
        ("ipv4", "127.0.0.1", "127.0.0.256"),
        ("ipv6", "::1", "1::2::3"),
    ],
)
def test_every_format_of_structured_outputs_is_checked(form, good, bad):
    node = {"type": "string", "format": form}
    assert outcome_of(good, node) == ("ok", None, good)
    assert outcome_of(bad, node)[:2] == (
        "invalid_output",
        "The answer breaks output_schema: $.x fails format",
    )


@pytest.mark.parametrize("beside", [{}, {"minLength": 1}], ids=["by type", "by jsonschema"])
def test_a_date_and_time_may_have_a_space_for_the_t(beside):
    node = {"type": "string", "format": "date-time", **beside}
    at = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    for text in ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05Z", "2026-01-02T05:04:05+02:00"):
        assert outcome_of(text, node) == ("ok", None, at)
    for text in ("2026-01-02", "2026-01-02T03:04:05", "2026-02-30T03:04:05Z"):
        assert outcome_of(text, node)[0] == "invalid_output"


def test_what_the_types_say_names_the_path_and_not_the_value():
    for value, node in (("secret", {"enum": ["a"]}), ("secret", {"type": "integer"})):
        assert outcome_of(value, node)[:2] == (
            "invalid_output",
            "The answer breaks output_schema: $.x has another type, or is out of bounds",
        )
    rows, _ = join([line(0, succeeded("Sorry, secret"))], count=1)
    assert rows[0]["claude_error_message"] == "The answer is not JSON"


@pytest.mark.parametrize("number", [b"1e999999999", b"-1e-999999999", b"1e99999999999999999999", b"9" * 5000])
def test_a_number_that_no_arithmetic_ends_for_is_no_answer(number):
    node = {"anyOf": [{"type": "number", "multipleOf": 0.5}, TEXT]}
    outcome, message, _ = outcome_of(number, node)
    assert outcome == "invalid_output"
    assert message.startswith("The answer breaks output_schema: $")


def test_a_zero_is_a_multiple_however_it_is_written():
    node = {"anyOf": [{"type": "number", "multipleOf": 0.5}, TEXT]}
    assert outcome_of(b"0e999999999", node)[0] == "ok"


@pytest.mark.parametrize(
    "node",
    [
        TEXT,
        {"type": "string", "maxLength": 3, "pattern": "^a", "description": "d", "title": "t"},
        {"type": "integer", "minimum": 1, "exclusiveMaximum": 3},
        {"type": "string", "format": "date"},
        {"enum": ["a", "b", None]},
        {"type": "string", "const": "a"},
        {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "boolean"}}}},
        {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        {"type": ["string", "null"]},
    ],
)
def test_what_the_types_check_is_not_checked_twice(node):
    assert answer_checker(schema_of(x=node)) is None


def test_jsonschema_is_not_imported_where_the_types_say_it_all():
    code = (
        "import sys\n"
        "from airflow_provider_claude_batch.core.output_schema import to_json_schema\n"
        "from airflow_provider_claude_batch.core.check_answer import answer_checker\n"
        "assert answer_checker(to_json_schema('label STRING, tags ARRAY<DATE>')) is None\n"
        "assert 'jsonschema' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            {"type": "array", "items": TEXT, "minItems": "two"},
            r"\$\.properties\.x\.minItems: 'two' is not of type",
        ),
        ({"type": "object", "patternProperties": {"(": TEXT}}, r"\$\.properties\.x\.patternProperties"),
        ({"type": "strin"}, r"\$\.properties\.x\.type"),
        ({"enum": "a"}, r"\$\.properties\.x\.enum"),
    ],
)
def test_a_keyword_with_a_value_that_it_cannot_have_is_refused_before_it_is_paid_for(node, said):
    with pytest.raises(OutputSchemaError, match=said):
        schema_of(x=node)
