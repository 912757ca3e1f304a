"""Fill a JSON Schema from a text, always with an instance that is valid against it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_claude_batch.emulator.number_in_bounds import number_in_bounds
from airflow_provider_claude_batch.emulator.pattern_to_text import pattern_to_text
from airflow_provider_claude_batch.emulator.source_text import SourceText, shortened

if TYPE_CHECKING:
    from airflow_provider_claude_batch.emulator.wire import JsonObject

#: Nesting from which on only what a schema requires is filled, so that a recursive one comes to an end.
_MAX_DEPTH = 6
_MAX_CHOSEN = 3
_DEFAULT_ITEMS = 2
_TRUE_WORDS = frozenset({"yes", "true", "y", "on", "1"})
_FALSE_WORDS = frozenset({"no", "false", "n", "off", "0", "none"})

_FORMATS = {
    "date": (r"\b\d{4}-\d{2}-\d{2}\b", "2026-01-01"),
    "date-time": (
        r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})",
        "2026-01-01T00:00:00Z",
    ),
    "time": (r"\b\d{2}:\d{2}:\d{2}Z\b", "00:00:00Z"),
    "duration": (r"\bP\d+[DWMY]\b", "P1D"),
    "email": (r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", "someone@example.com"),
    "hostname": (r"\b(?:[a-z0-9-]+\.)+[a-z]{2,}\b", "example.com"),
    "uri": (r"https?://[A-Za-z0-9./_%?=&#-]+", "https://example.com/"),
    "uuid": (
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        "00000000-0000-4000-8000-000000000000",
    ),
    "ipv4": (r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b", "192.0.2.1"),
    "ipv6": (r"\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b", "2001:db8::1"),
}


def schema_to_instance(schema: JsonObject, text: SourceText) -> Any:
    """
    Return an instance of ``schema``, its values taken from ``text`` as far as they are there.

    :param schema: A JSON Schema object; references go to its own ``$defs``.
    """
    return _Filler(schema, text).value(schema, "", 0)


@dataclass(frozen=True, slots=True)
class _Filler:
    root: JsonObject
    text: SourceText

    def value(self, schema: Any, name: str, depth: int) -> Any:
        """Return the value of the property ``name``; the empty name is the whole."""
        if not isinstance(schema, dict):
            return self.text.extract
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(schema["enum"], name)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._branch(schema, keyword, name, depth)
        return self._typed(schema, name, depth)

    def _typed(self, schema: JsonObject, name: str, depth: int) -> Any:
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("number", "integer"):
            return self._number(schema, name, is_integer=kind == "integer")
        if kind == "boolean":
            return self._boolean(name)
        return None if kind == "null" else self._string(schema, name)

    def _resolved(self, schema: JsonObject) -> JsonObject:
        """Follow references, and merge ``allOf`` into its surroundings."""
        seen: set[str] = set()
        while "$ref" in schema and schema["$ref"] not in seen:
            seen.add(schema["$ref"])
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = _merged(self._referenced(schema["$ref"]), rest)
        for part in schema.get("allOf", ()):
            schema = _merged(
                {key: value for key, value in schema.items() if key != "allOf"}, self._resolved(part)
            )
        return schema

    def _referenced(self, reference: str) -> JsonObject:
        target: Any = self.root
        for step in reference.lstrip("#").strip("/").split("/"):
            if step:
                target = target.get(step.replace("~1", "/").replace("~0", "~"), {})
        return target if isinstance(target, dict) else {}

    def _choice(self, values: list[Any], name: str) -> Any:
        labelled = self.text.value_of(name)
        for value in values:
            if labelled is not None and str(value).lower() == labelled.lower():
                return value
        return max(values, key=lambda value: self.text.overlap(str(value)))

    def _branch(self, schema: JsonObject, keyword: str, name: str, depth: int) -> Any:
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        branches = [_merged(rest, self._resolved(branch)) for branch in schema[keyword]]
        nullable = any(_kind(branch) == "null" for branch in branches)
        if nullable and depth >= _MAX_DEPTH:
            return None
        if depth >= _MAX_DEPTH:
            branches.sort(key=lambda branch: _kind(branch) in ("object", "array"))
        return self.value(next((b for b in branches if _kind(b) != "null"), branches[0]), name, depth)

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        required = schema.get("required", ())
        properties = dict(schema.get("properties", {}))
        for name in required:
            properties.setdefault(name, {})
        return {
            name: self.value(part, name, depth + 1)
            for name, part in properties.items()
            if name in required or depth < _MAX_DEPTH
        }

    def _array(self, schema: JsonObject, name: str, depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, _MAX_CHOSEN))
        items = self._resolved(schema.get("items") or {}) if isinstance(schema.get("items", {}), dict) else {}
        first = [self.value(part, name, depth + 1) for part in schema.get("prefixItems", ())][:most]
        if schema.get("items") is False:
            return first
        if "enum" in items:
            values = self._choices(items["enum"], least, most)
        elif depth >= _MAX_DEPTH:
            values = [self.value(items, name, depth + 1) for _ in range(least)]
        else:
            values = self._items(items, name, depth, wanted=min(most, max(least, _DEFAULT_ITEMS)))
        values = (first + values)[:most]
        return _distinct(values, least) if schema.get("uniqueItems") else values

    def _choices(self, values: list[Any], least: int, most: int) -> list[Any]:
        ranked = sorted(values, key=lambda value: -self.text.overlap(str(value)))
        found = [value for value in ranked if self.text.overlap(str(value)) > 0][: min(most, _MAX_CHOSEN)]
        chosen = found if len(found) >= least else ranked[:least]
        while len(chosen) < least:
            chosen = chosen + ranked[:1]
        return chosen

    def _items(self, items: JsonObject, name: str, depth: int, *, wanted: int) -> list[Any]:
        """Fill each item from a sentence of its own, going round if there are too few."""
        sentences = self.text.sentences or [""]
        return [
            _Filler(self.root, SourceText(sentences[index % len(sentences)])).value(items, name, depth + 1)
            for index in range(wanted)
        ]

    def _number(self, schema: JsonObject, name: str, *, is_integer: bool) -> float | int:
        labelled = SourceText(self.text.value_of(name) or "").numbers
        return number_in_bounds(schema, labelled + self.text.numbers, is_integer=is_integer)

    def _boolean(self, name: str) -> bool:
        labelled = (self.text.value_of(name) or "").lower().rstrip(".")
        if labelled in _TRUE_WORDS | _FALSE_WORDS:
            return labelled in _TRUE_WORDS
        return self.text.overlap(name) > 0

    def _string(self, schema: JsonObject, name: str) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if schema.get("format") in _FORMATS:
            return self._formatted(schema["format"])
        text = self.text.value_of(name) or self.text.extract
        if "pattern" in schema:
            return self._matching(schema["pattern"], text, least, most)
        return _fitted(text, least, most)

    def _formatted(self, text_format: str) -> str:
        pattern, example = _FORMATS[text_format]
        found = re.search(pattern, self.text.subject)
        return str(found[0]) if found else example

    def _matching(self, pattern: str, text: str, least: int, most: int | None) -> str:
        try:
            search = re.compile(pattern).search
        except (re.error, FutureWarning):
            return _fitted(text, least, most)
        words = re.findall(r"[\w.@:/+-]+", self.text.subject)
        candidates: list[str] = [
            _fitted(text, least, most),
            *words,
            *map(str.lower, words),
            *map(str.upper, words),
        ]
        for candidate in candidates:
            if search(candidate) and _fitted(candidate, least, most) == candidate:
                return candidate
        return pattern_to_text(pattern) or _fitted(text, least, most)


def _kind(schema: JsonObject) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _merged(first: JsonObject, second: JsonObject) -> JsonObject:
    merged = {**first, **second}
    if "properties" in first and "properties" in second:
        merged["properties"] = {**first["properties"], **second["properties"]}
    if "required" in first and "required" in second:
        merged["required"] = [*first["required"], *second["required"]]
    return merged


def _fitted(text: str, least: int, most: int | None) -> str:
    if most is not None:
        text = shortened(text, most) if most else ""
    return text if len(text) >= least else text + "." * (least - len(text))


def _distinct(values: list[Any], least: int) -> list[Any]:
    distinct: list[Any] = []
    for value in values:
        if value not in distinct:
            distinct.append(value)
    number = 0
    while len(distinct) < least:
        number += 1
        candidate = f"{values[0]} {number}" if isinstance(values[0], str) else number
        if candidate not in distinct:
            distinct.append(candidate)
    return distinct
