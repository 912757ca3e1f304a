"""
A JSON Schema to the two types that an answer needs: msgspec's, which checks it, and Arrow's, which it gets.

Covers what structured outputs produce: objects, arrays, strings (also as enum, date, date-time), integers,
numbers, booleans and their nullable forms. Anything else is kept as JSON text in a string column.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field, replace
from operator import getitem
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Literal, Optional, TypeGuard

import msgspec
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_claude_batch.core.output_schema import JsonObject

_SCALARS: dict[str, tuple[object, pa.DataType]] = {
    "string": (str, pa.string()),
    "integer": (int, pa.int64()),
    "number": (float, pa.float64()),
    "boolean": (bool, pa.bool_()),
}
_FORMATS: dict[str, tuple[object, pa.DataType]] = {
    "date": (dt.date, pa.date32()),
    "date-time": (Annotated[dt.datetime, msgspec.Meta(tz=True)], pa.timestamp("us", tz="UTC")),
}

#: Keywords that ask nothing of an answer.
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$comment", "deprecated"})

_BOUNDS = frozenset({"type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})

#: Keywords of a scalar that leave it less than its type.
_NARROWING = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern"}
)

#: Keywords of each type that its values are checked against.
_CHECKED = {
    "string": frozenset({"type", "minLength", "maxLength", "pattern"}),
    "integer": _BOUNDS,
    "number": _BOUNDS,
    "boolean": frozenset({"type"}),
    "array": frozenset({"type", "items"}),
    "object": frozenset({"type", "properties", "required", "additionalProperties"}),
}


@dataclass(frozen=True, slots=True)
class AnswerType:
    """
    What one value of an answer is.

    :param checked: The type that ``msgspec.json.decode`` checks the value against.
    :param arrow: The column's Arrow type.
    :param is_json: The column holds the value as JSON text, since Arrow has no type for it.
    :param is_free: Every value of the Arrow type fits.
    :param members: Of an object, by name.
    :param item: Of an array.
    """

    checked: object
    arrow: pa.DataType
    is_json: bool = False
    is_free: bool = False
    members: Mapping[str, AnswerType] = field(default_factory=dict)
    item: AnswerType | None = None


def answer_columns(json_schema: Mapping[str, object]) -> dict[str, AnswerType]:
    """
    Return the type of each column of an answer, in the schema's order.

    :param json_schema: As :func:`~.output_schema.to_json_schema` returns it.
    """
    properties = json_schema["properties"]
    if not _is_object(properties):
        raise TypeError("properties of a closed schema are an object")
    return {name: _answer_type(name, member) for name, member in properties.items()}


def answer_struct(columns: Mapping[str, AnswerType]) -> type[msgspec.Struct]:
    """
    Return the class that a whole answer is decoded into; a field more or less than the schema's is an error.
    """
    return _struct("Answer", {name: column.checked for name, column in columns.items()})


def open_object(node: object, *, path: str = "$") -> str | None:
    """
    Return the path of an object without declared properties, such as ``dict[str, str]``, or ``None``.

    Structured outputs close every object, so the model could only leave such a one empty.

    :param node: As :func:`~.output_schema.to_json_schema` returns it, or a part of it.
    """
    if not _is_object(node):
        return None
    properties = node.get("properties")
    members = properties if _is_object(properties) else {}
    if node.get("type") == "object" and not members:
        return path
    parts = [(f"{path}.{name}", member) for name, member in members.items()]
    parts.append((f"{path}[]", node.get("items")))
    for keyword in ("anyOf", "oneOf", "allOf"):
        choices = node.get(keyword)
        parts += [(path, choice) for choice in choices] if isinstance(choices, list) else []
    return next((found for where, part in parts if (found := open_object(part, path=where))), None)


def unchecked_part(json_schema: Mapping[str, object]) -> JsonObject | None:
    """
    Return what of a schema the types of :func:`answer_columns` leave unchecked, or ``None`` for nothing.

    :param json_schema: As :func:`~.output_schema.to_json_schema` returns it.
    """
    if not json_schema.keys() - _ANNOTATIONS <= _CHECKED["object"]:
        return dict(json_schema)
    return _unchecked_members(json_schema["properties"])


def _unchecked_members(properties: object) -> JsonObject | None:
    members = properties.items() if _is_object(properties) else ()
    rest = {name: part for name, member in members if (part := _unchecked(member)) is not None}
    return {"properties": rest} if rest else None


def _unchecked(node: object) -> JsonObject | None:
    if not _is_object(node):
        return {"anyOf": [node]}
    if _is_checked(node):
        return None
    is_plain = node.keys() - _ANNOTATIONS <= _CHECKED.get(str(node.get("type")), frozenset())
    if not is_plain or _answer_type("", node).is_json:
        return node
    if "items" in node:
        return {"items": _unchecked(node["items"])}
    return _unchecked_members(node["properties"])


def _is_checked(node: object) -> bool:
    if not _is_object(node):
        return False
    keywords = node.keys() - _ANNOTATIONS
    if (inner := _nullable(node)) is not None:
        return len(keywords) == 1 and _is_checked(inner)
    if keywords & {"enum", "const"}:
        return keywords < {"type", "enum", "const"} and not _answer_type("", node).is_json
    if node.get("format") in _FORMATS:
        return keywords == {"type", "format"} and node.get("type") == "string"
    kind = str(node.get("type"))
    properties = node.get("properties", {})
    members = [*properties.values()] if _is_object(properties) else [None]
    members += [node["items"]] if "items" in node else []
    is_container = kind in ("object", "array")
    is_open = is_container and not members
    return not is_open and keywords <= _CHECKED.get(kind, frozenset()) and all(map(_is_checked, members))


def _struct(name: str, members: Mapping[str, object]) -> type[msgspec.Struct]:
    # Field names are positions: a property may be named like a keyword, or like a method of Struct.
    fields = [(f"f{i}", member) for i, member in enumerate(members.values())]
    names = {f"f{i}": member for i, member in enumerate(members)}
    return msgspec.defstruct(name, fields, rename=names, forbid_unknown_fields=True, frozen=True, gc=False)


def _answer_type(name: str, node: object) -> AnswerType:
    if not _is_object(node):
        return _json_text()
    if (inner := _nullable(node)) is not None:
        member = _answer_type(name, inner)
        return replace(member, checked=getitem(Optional, member.checked))
    values = node.get("enum", [node["const"]] if "const" in node else None)
    if isinstance(values, list) and values:
        return _enum(values)
    kind = node.get("type")
    if kind == "object":
        return _object(name, node)
    if kind == "array":
        return _array(_answer_type(f"{name}_item", node.get("items", {})))
    return _scalar(kind, node)


def _scalar(kind: object, node: JsonObject) -> AnswerType:
    if kind == "string" and node.get("format") in _FORMATS:
        return AnswerType(*_FORMATS[str(node["format"])])
    if kind not in _SCALARS:
        return _json_text()
    checked, arrow = _SCALARS[str(kind)]
    bounds = [*_range(str(kind), node), *_text_bounds(str(kind), node)]
    is_free = not node.keys() & _NARROWING
    return AnswerType(getitem(Annotated, (checked, *bounds)) if bounds else checked, arrow, is_free=is_free)


def _range(kind: str, node: JsonObject) -> list[msgspec.Meta]:
    if kind not in ("integer", "number"):
        return []
    bounds: list[msgspec.Meta] = []
    low, above = node.get("minimum"), node.get("exclusiveMinimum")
    high, below = node.get("maximum"), node.get("exclusiveMaximum")
    if kind == "integer":
        lowest = max(_whole(low, math.ceil, -(2**63)), _whole(above, math.floor, -(2**63) - 1) + 1)
        highest = min(_whole(high, math.floor, 2**63 - 1), _whole(below, math.ceil, 2**63) - 1)
        return [msgspec.Meta(ge=lowest), msgspec.Meta(le=highest)]
    # msgspec takes one lower and one upper bound: the exclusive one is at least as strict where both are the
    # same.
    if isinstance(above, int | float) and not (isinstance(low, int | float) and low > above):
        bounds.append(msgspec.Meta(gt=above))
    elif isinstance(low, int | float):
        bounds.append(msgspec.Meta(ge=low))
    if isinstance(below, int | float) and not (isinstance(high, int | float) and high < below):
        bounds.append(msgspec.Meta(lt=below))
    elif isinstance(high, int | float):
        bounds.append(msgspec.Meta(le=high))
    return bounds


def _whole(bound: object, rounded: Callable[[float], int], otherwise: int) -> int:
    return rounded(bound) if isinstance(bound, int | float) else otherwise


def _text_bounds(kind: str, node: JsonObject) -> list[msgspec.Meta]:
    if kind != "string":
        return []
    bounds: list[msgspec.Meta] = []
    if isinstance(shortest := node.get("minLength"), int):
        bounds.append(msgspec.Meta(min_length=shortest))
    if isinstance(longest := node.get("maxLength"), int):
        bounds.append(msgspec.Meta(max_length=longest))
    if isinstance(pattern := node.get("pattern"), str):
        bounds.append(msgspec.Meta(pattern=pattern))
    return bounds


def _enum(values: list[object]) -> AnswerType:
    nullable = None in values
    present = [value for value in values if value is not None]
    if not present:
        return AnswerType(None, pa.string())
    if all(isinstance(value, str) for value in present):
        arrow = pa.dictionary(pa.int32(), pa.string())
    elif all(type(value) is int and abs(value) < 2**63 for value in present):
        arrow = pa.int64()
    else:
        return _json_text()
    checked = getitem(Literal, tuple(present))
    return AnswerType(getitem(Optional, checked) if nullable else checked, arrow)


def _array(item: AnswerType) -> AnswerType:
    if item.is_json:
        return item
    return AnswerType(GenericAlias(list, item.checked), pa.list_(item.arrow), item=item)


def _object(name: str, node: JsonObject) -> AnswerType:
    properties = node.get("properties")
    if not _is_object(properties) or not properties:
        return _json_text()
    members = {member: _answer_type(f"{name}_{member}", child) for member, child in properties.items()}
    if any(member.is_json for member in members.values()):
        return _json_text()
    struct = _struct(name, {member: inner.checked for member, inner in members.items()})
    arrow = pa.struct([(member, inner.arrow) for member, inner in members.items()])
    return AnswerType(struct, arrow, members=members)


def _nullable(node: JsonObject) -> JsonObject | None:
    """Return the schema without its null alternative, or ``None`` where it has none."""
    kinds = node.get("type")
    if isinstance(kinds, list) and "null" in kinds:
        others = [kind for kind in kinds if kind != "null"]
        return {**node, "type": others[0]} if len(others) == 1 else None
    for keyword in ("anyOf", "oneOf"):
        choices = node.get(keyword)
        if not isinstance(choices, list):
            continue
        nulls = [choice for choice in choices if _is_object(choice) and choice.get("type") == "null"]
        if nulls:
            others = [choice for choice in choices if choice not in nulls]
            return others[0] if len(others) == 1 and _is_object(others[0]) else None
    return None


def _json_text() -> AnswerType:
    return AnswerType(msgspec.Raw, pa.string(), is_json=True)


def _is_object(value: object) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)
