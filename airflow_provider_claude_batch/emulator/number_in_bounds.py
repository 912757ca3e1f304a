"""
A number that a schema takes, near one that a text says: bounds and multiples in exact arithmetic.

Structured outputs know no bounds: the SDK writes them into the description, as in
``{minimum: 1, maximum: 5}``, where a model reads them. So does this module.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_claude_batch.emulator.wire import JsonObject

#: What the SDK puts at the end of a description.
_NOTE = re.compile(r"\{([^{}]*)\}\s*\Z")
_NOTED = re.compile(
    r"\b(minimum|maximum|exclusiveMinimum|exclusiveMaximum|multipleOf): (-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
)


@dataclass(frozen=True, slots=True)
class _Range:
    """
    Numbers between two bounds.

    :param low: ``None`` where there is no lowest.
    :param is_above: ``low`` itself is out.
    :param step: Of which the number is a multiple, or ``None``.
    """

    low: Fraction | None
    is_above: bool
    high: Fraction | None
    is_below: bool
    step: Fraction | None

    def holds(self, number: Fraction) -> bool:
        is_high = self.low is None or number > self.low or (number == self.low and not self.is_above)
        is_low = self.high is None or number < self.high or (number == self.high and not self.is_below)
        return is_high and is_low and (self.step is None or number % self.step == 0)

    def near(self, number: Fraction) -> Fraction:
        """Return the multiple at or below a number, or the first one that is high enough."""
        if self.step is None:
            return number
        fitted = number // self.step * self.step
        if self.low is None or fitted > self.low or (fitted == self.low and not self.is_above):
            return fitted
        first = math.ceil(self.low / self.step) * self.step
        return first + self.step if first == self.low and self.is_above else first

    def own(self) -> list[Fraction]:
        """Return numbers of the range's own, one of which is in it if any is; whole ones among them."""
        found = []
        if self.low is not None:
            found += [self.low, Fraction(math.floor(self.low) + 1)]
        if self.high is not None:
            found += [self.high, Fraction(math.ceil(self.high) - 1), self.high - (self.step or 1)]
        if self.low is not None and self.high is not None:
            found.append((self.low + self.high) / 2)
        return found


def number_in_bounds(schema: JsonObject, wanted: Iterable[float], *, is_integer: bool) -> float | int:
    """
    Return the first of some numbers that a schema takes or that a multiple can be found for.

    :param schema: Of a number; where it takes none, the number is out of its bounds.
    :param wanted: Numbers that a text says, in the order of preference.
    """
    within = _range(schema, is_integer=is_integer)
    said = [Fraction(str(number)) for number in wanted if math.isfinite(number)]
    found = Fraction(0)
    for number in [*said, Fraction(0), *within.own()]:
        found = within.near(number)
        if within.holds(found) and within.holds(Fraction(str(_to_json(found, within, is_integer)))):
            break
    return _to_json(found, within, is_integer)


def _to_json(number: Fraction, within: _Range, is_integer: bool) -> float | int:
    is_whole = number.denominator == 1
    if is_integer or (is_whole and (within.step is not None or Fraction(str(float(number))) != number)):
        return int(number)
    return float(number)


def _range(schema: JsonObject, *, is_integer: bool) -> _Range:
    given = _bounds(schema)
    low = max(given["minimum"] + given["exclusiveMinimum"], default=None)
    high = min(given["maximum"] + given["exclusiveMaximum"], default=None)
    steps = [step for step in given["multipleOf"] if step > 0] + ([Fraction(1)] if is_integer else [])
    step = steps[0] if steps else None
    for other in steps[1:]:
        step = _common_multiple(step or other, other)
    return _Range(low, low in given["exclusiveMinimum"], high, high in given["exclusiveMaximum"], step)


def _bounds(schema: JsonObject) -> dict[str, list[Fraction]]:
    """Return what the keywords of a schema and the note in its description say, by keyword."""
    note = _NOTE.search(str(schema.get("description") or ""))
    noted = _NOTED.findall(note[1]) if note else []
    found: dict[str, list[Fraction]] = {}
    for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
        value = schema.get(keyword)
        own = [str(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []
        texts = own + [text for name, text in noted if name == keyword]
        found[keyword] = [Fraction(text) for text in texts]
    return found


def _common_multiple(one: Fraction, other: Fraction) -> Fraction:
    return Fraction(math.lcm(one.numerator, other.numerator), math.gcd(one.denominator, other.denominator))
