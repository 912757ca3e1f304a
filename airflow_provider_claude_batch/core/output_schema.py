"""
The author's output schema to the API's ``output_config.format``: one JSON Schema, whatever it was written as.

What an answer becomes in Parquet is :mod:`.json_schema_to_arrow`; this module imports neither pyarrow nor
pydantic.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeGuard, cast

from airflow_provider_claude_batch.errors import OutputSchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

JsonObject = dict[str, object]

_SQL_TYPES: dict[str, JsonObject] = {
    "STRING": {"type": "string"},
    "TEXT": {"type": "string"},
    "VARCHAR": {"type": "string"},
    "INT": {"type": "integer"},
    "INT64": {"type": "integer"},
    "INTEGER": {"type": "integer"},
    "BIGINT": {"type": "integer"},
    "DOUBLE": {"type": "number"},
    "FLOAT": {"type": "number"},
    "FLOAT64": {"type": "number"},
    "BOOL": {"type": "boolean"},
    "BOOLEAN": {"type": "boolean"},
    "DATE": {"type": "string", "format": "date"},
    "TIMESTAMP": {"type": "string", "format": "date-time"},
}
_SQL_COLUMN = re.compile(r"^([A-Za-z_]\w*)\s+(?:ARRAY<\s*(\w+)\s*>|(\w+))$", re.IGNORECASE)


def to_json_schema(schema: object) -> JsonObject:
    """
    Return the JSON Schema of an answer, closed and without references, ready for the API.

    Every object gets ``additionalProperties: false`` and every property becomes required, as structured
    outputs ask. ``$ref`` is replaced by what it names.

    :param schema: A pydantic model class, a JSON Schema of type ``object``, which may be a JSON text, or
        SQL-like columns such as ``"sentiment STRING, score DOUBLE, tags ARRAY<STRING>"``.
    :raises OutputSchemaError: It is none of these, is recursive, has a keyword with a value that it cannot
        have, or names a column like one of ours.
    """
    if isinstance(schema, str) and schema.lstrip().startswith("{"):
        schema = _from_json(schema)
    if isinstance(schema, str):
        document = _from_sql(schema)
    elif _is_json_object(schema):
        document = schema
    elif callable(describe := getattr(schema, "model_json_schema", None)):
        document = cast("JsonObject", describe())
    else:
        raise OutputSchemaError(
            f"output_schema is a {type(schema).__name__}: give a pydantic model, a JSON Schema, or columns "
            "such as 'sentiment STRING, score DOUBLE'. Nothing was sent."
        )
    closed = _closed(document, definitions=_definitions(document), path="$", within=())
    _check_top(closed)
    if not isinstance(schema, str):
        _check_keywords(closed)
    return closed


def to_output_format(json_schema: Mapping[str, object]) -> JsonObject:
    """
    Return ``output_config.format`` for a schema that :func:`to_json_schema` returned.

    Bounds that structured outputs do not enforce (lengths, ranges, patterns) move into descriptions, as the
    SDK does it; the load still checks them.

    :raises OutputSchemaError: The SDK cannot express a part of the schema.
    """
    from anthropic import transform_schema

    try:
        return {"type": "json_schema", "schema": transform_schema(dict(json_schema))}
    except (AssertionError, TypeError, ValueError) as error:
        raise OutputSchemaError(f"output_schema: {error} Nothing was sent.") from error


def _is_json_object(value: object) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)


def _from_json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise OutputSchemaError(f"output_schema is no JSON: {error}. Nothing was sent.") from error


def _from_sql(text: str) -> JsonObject:
    properties: JsonObject = {}
    for column in text.split(","):
        match = _SQL_COLUMN.match(column.strip())
        item = _SQL_TYPES.get((match[2] or match[3]).upper()) if match else None
        if match is None or item is None:
            raise OutputSchemaError(
                f"output_schema: {column.strip()!r} is not a column such as 'score DOUBLE'; types are "
                f"{', '.join(_SQL_TYPES)} and ARRAY<...> of one. Nothing was sent."
            )
        properties[match[1]] = {"type": "array", "items": item} if match[2] else item
    return {"type": "object", "properties": properties}


def _definitions(document: JsonObject) -> JsonObject:
    found: JsonObject = {}
    for keyword in ("definitions", "$defs"):
        group = document.get(keyword)
        if _is_json_object(group):
            found.update({f"#/{keyword}/{name}": definition for name, definition in group.items()})
    return found


def _closed(node: object, *, definitions: JsonObject, path: str, within: tuple[str, ...]) -> JsonObject:
    if not _is_json_object(node):
        raise OutputSchemaError(f"output_schema: {path} is not a JSON Schema. Nothing was sent.")
    reference = node.get("$ref")
    if isinstance(reference, str):
        if reference in within:
            raise OutputSchemaError(
                f"output_schema: {path} refers to itself, which no column holds. Nothing was sent."
            )
        if reference not in definitions:
            raise OutputSchemaError(
                f"output_schema: {path} refers to {reference}, which is not there. Nothing was sent."
            )
        beside = {name: value for name, value in node.items() if name != "$ref"}
        target = _closed(
            definitions[reference], definitions=definitions, path=path, within=(*within, reference)
        )
        return {**target, **beside}
    closed = {name: value for name, value in node.items() if name not in ("$defs", "definitions", "$schema")}
    kinds = closed.get("type")
    if isinstance(kinds, list):
        # The SDK takes one type only.
        rest = {name: value for name, value in closed.items() if name != "type"}
        closed = {"anyOf": [{"type": "null"} if kind == "null" else {**rest, "type": kind} for kind in kinds]}
    _close_members(closed, definitions=definitions, path=path, within=within)
    return closed


def _close_members(node: JsonObject, *, definitions: JsonObject, path: str, within: tuple[str, ...]) -> None:
    properties = node.get("properties")
    if _is_json_object(properties):
        node["properties"] = {
            name: _closed(member, definitions=definitions, path=f"{path}.{name}", within=within)
            for name, member in properties.items()
        }
        node["required"] = list(properties)
        node["additionalProperties"] = False
    if "items" in node:
        node["items"] = _closed(node["items"], definitions=definitions, path=f"{path}[]", within=within)
    for keyword in ("anyOf", "oneOf", "allOf"):
        choices = node.get(keyword)
        if isinstance(choices, list):
            node[keyword] = [
                _closed(choice, definitions=definitions, path=path, within=within) for choice in choices
            ]


def _check_keywords(document: JsonObject) -> None:
    """Raise where a keyword has a value that it cannot have: no answer could be checked against it."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(document)
    except SchemaError as error:
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
        raise OutputSchemaError(f"output_schema: ${where}: {error.message}. Nothing was sent.") from error


def _check_top(document: JsonObject) -> None:
    properties = document.get("properties")
    if document.get("type") != "object" or not _is_json_object(properties) or not properties:
        raise OutputSchemaError(
            "output_schema must be an object with at least one property: each becomes a column. Nothing "
            "was sent."
        )
    if ours := [name for name in properties if name.startswith("claude_")]:
        raise OutputSchemaError(
            f"output_schema: {', '.join(ours)}: names that begin with claude_ are taken. Nothing was sent."
        )
