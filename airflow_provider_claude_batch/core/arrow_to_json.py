"""
Lists, structs and maps of a row as compact JSON, which is the text that a template takes of them.

Imports pyarrow: whatever a Dag file reaches imports this module inside functions only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def nested_to_json(column: pa.Array) -> list[str | None]:
    """
    Return the JSON of each value of a column; a null stays ``None``.

    Text is not escaped beyond what JSON asks. A decimal is a number with all its digits, a date or time its
    ISO 8601 text, binary its Base64; ``NaN`` and infinity, which JSON lacks, are null. A map is an object,
    whose names are its keys as text.

    :param column: Of a list, struct or map type.
    """
    values = column.to_pylist()
    if _holds_map(column.type):
        values = [_with_objects(value, column.type) for value in values]
    return [None if value is None else _encode(value).decode() for value in values]


def _iso_text(value: object) -> str:
    """Return the text of a time with nanoseconds, the one kind of value that msgspec does not know."""
    if isoformat := getattr(value, "isoformat", None):
        return cast("str", isoformat())
    raise TypeError(f"a value of type {type(value).__name__} has no JSON")


_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=_iso_text).encode


def _holds_map(kind: pa.DataType) -> bool:
    if pa.types.is_map(kind):
        return True
    return any(_holds_map(kind.field(i).type) for i in range(kind.num_fields))


def _with_objects(value: object, kind: pa.DataType) -> object:
    """Return the value with its maps, which Arrow gives as lists of pairs, as dicts."""
    if value is None or not _holds_map(kind):
        return value
    if pa.types.is_map(kind):
        pairs = cast("Sequence[tuple[object, object]]", value)
        return {
            _name(_with_objects(name, kind.key_type)): _with_objects(member, kind.item_type)
            for name, member in pairs
        }
    if pa.types.is_struct(kind):
        members = cast("Mapping[str, object]", value)
        return {name: _with_objects(member, kind.field(name).type) for name, member in members.items()}
    return [_with_objects(member, kind.value_type) for member in cast("Sequence[object]", value)]


def _name(key: object) -> str:
    if isinstance(key, str):
        return key
    text = _encode(key).decode()
    return text[1:-1] if text.startswith('"') else text
