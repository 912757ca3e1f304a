"""
The wire's result lines, one at a time: for those that a block of them could not be read with.

Fields that nothing here needs are left out. One of another type than the API's counts as absent, so that a
field of a new kind costs nobody an answer.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a field holds: text, a count, an object of fields, or a list of one kind.
Shape = type[str] | type[int] | dict[str, "Shape"] | list["Shape"]

_USAGE: dict[str, Shape] = {
    "input_tokens": int,
    "output_tokens": int,
    "cache_creation_input_tokens": int,
    "cache_read_input_tokens": int,
    "cache_creation": {"ephemeral_5m_input_tokens": int, "ephemeral_1h_input_tokens": int},
    "output_tokens_details": {"thinking_tokens": int},
    "service_tier": str,
    "inference_geo": str,
}

#: A result line, with the API's field names. What went wrong with a request is nested one level deeper than
#: one might think. https://platform.claude.com/docs/en/build-with-claude/batch-processing, read 2026-09-26.
RESULT_LINE: dict[str, Shape] = {
    "custom_id": str,
    "result": {
        "type": str,
        "message": {
            "content": [{"type": str, "text": str}],
            "model": str,
            "stop_reason": str,
            "usage": _USAGE,
        },
        "error": {"error": {"type": str, "message": str}, "request_id": str},
    },
}

#: The id comes first in a line as the API writes it. An answer cannot say this: its quotes are escaped.
_CUSTOM_ID = re.compile(rb'\s*\{\s*"custom_id"\s*:\s*"([a-zA-Z0-9_-]{1,64})"\s*,')

_INT64 = range(-(2**63), 2**63)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class NoResultLineError(ValueError):
    """A line does not say whose result it is."""


def repaired_line(line: bytes, *, is_whole: bool) -> bytes:
    """
    Return a line as compact JSON that holds the fields of :data:`RESULT_LINE`, in their types, and no other.

    A lone surrogate escape, which JSON allows and UTF-8 does not, becomes U+FFFD. Of a line that is no JSON
    the ``custom_id`` is kept.

    :param is_whole: It had its line end. One without is kept only if it can be read.
    :raises NoResultLineError: The ``custom_id`` cannot be found.
    """
    value = decoded_line(line)
    if value is None and is_whole and (found := _CUSTOM_ID.match(line)):
        value = {"custom_id": found[1].decode()}
    fitted = _fit(value, RESULT_LINE)
    if not isinstance(fitted, dict) or fitted.get("custom_id") is None:
        raise NoResultLineError
    return _encode(fitted)


def content_text(line: bytes) -> str | None:
    """Return the content blocks of an answer as compact JSON, or ``None`` where the line has none."""
    value: object = decoded_line(line)
    for name in ("result", "message", "content"):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        return None
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return _without_surrogates(text)


def decoded_line(line: bytes) -> object:
    """Return what a line says, or ``None`` where it is no JSON."""
    try:
        return _decode(line)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _fit(value: object, shape: Shape) -> object:
    if isinstance(shape, dict):
        return _fit_fields(value, shape) if isinstance(value, dict) else None
    if isinstance(shape, list):
        return [_fit(member, shape[0]) for member in value] if isinstance(value, list) else None
    if shape is str:
        return _without_surrogates(value) if isinstance(value, str) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_count = isinstance(value, int) and not isinstance(value, bool) and value in _INT64
    return value if is_count else None


def _fit_fields(value: Mapping[str, object], shape: Mapping[str, Shape]) -> dict[str, object]:
    return {name: _fit(value[name], inner) for name, inner in shape.items() if name in value}


def _without_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
