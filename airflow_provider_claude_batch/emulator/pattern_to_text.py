"""
Make a text that a regular expression matches.

Covers what JSON Schemas use in practice: literals, classes, escapes, groups, alternatives and repetitions;
look around and back references are taken as empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLASS_EXAMPLES = {
    "d": "0",
    "w": "a",
    "s": " ",
    "D": "a",
    "W": "-",
    "S": "a",
    "n": "\n",
    "t": "\t",
    "r": "\r",
}
_NO_TEXT_ESCAPES = "bBAZz"
_CANDIDATES = "a0A-_ .zZ9"


def pattern_to_text(pattern: str) -> str | None:
    """Return a text in which ``pattern`` is found, or ``None`` if none was made."""
    try:
        compiled = re.compile(pattern)
        text = _Reader(pattern).alternatives()
    except (re.error, FutureWarning, ValueError, IndexError, StopIteration):
        return None
    return text if compiled.search(text) else None


@dataclass(slots=True)
class _Reader:
    """Reads a pattern from left to right, making the text as it goes."""

    pattern: str
    place: int = 0

    def alternatives(self) -> str:
        """Return the text of the first alternative up to the end of the group or pattern."""
        first = self._sequence()
        while self._peek() == "|":
            self.place += 1
            self._sequence()
        return first

    def _sequence(self) -> str:
        parts = []
        while self.place < len(self.pattern) and self._peek() not in "|)":
            atom = self._atom()
            parts.append(atom * self._least_repeats())
        return "".join(parts)

    def _atom(self) -> str:
        character = self._next()
        if character == "(":
            return self._group()
        if character == "[":
            return self._class()
        if character == "\\":
            return self._escape()
        if character in "^$":
            return ""
        return "a" if character == "." else character

    def _group(self) -> str:
        is_text = True
        if self._peek() == "?":
            opening = re.compile(r"\?(:|P?<\w+>|=|!|<=|<!)").match(self.pattern, self.place)
            if opening is None:
                raise ValueError("unknown group")
            is_text = opening[1] not in ("=", "!", "<=", "<!")
            self.place = opening.end()
        text = self.alternatives()
        self._next()
        return text if is_text else ""

    def _class(self) -> str:
        start = self.place - 1
        self.place += 2 if self._peek() == "^" else 1
        while self._next() != "]":
            if self.pattern[self.place - 1] == "\\":
                self.place += 1
        matches = re.compile(self.pattern[start : self.place]).fullmatch
        first = self.pattern[start + 1 : self.place - 1].lstrip("\\")[:1]
        return next(text for text in (first + _CANDIDATES + _all_characters()) if matches(text))

    def _escape(self) -> str:
        character = self._next()
        if character in _NO_TEXT_ESCAPES:
            return ""
        if character.isdigit():
            raise ValueError("back reference")
        return _CLASS_EXAMPLES.get(character, character)

    def _least_repeats(self) -> int:
        found = re.compile(r"(?:([*?])|(\+)|\{(\d*)(?:,\d*)?\})[?+]?").match(self.pattern, self.place)
        if found is None:
            return 1
        self.place = found.end()
        if found[1]:
            return 0
        return 1 if found[2] else int(found[3] or 0)

    def _peek(self) -> str:
        return self.pattern[self.place : self.place + 1]

    def _next(self) -> str:
        self.place += 1
        return self.pattern[self.place - 1]


def _all_characters() -> str:
    return "".join(map(chr, range(32, 0x3000)))
