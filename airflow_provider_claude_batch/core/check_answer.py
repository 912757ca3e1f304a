"""
What an answer must fulfil besides the types that it is decoded into, checked by jsonschema.

Only for output schemas with keywords that the types do not cover; jsonschema is imported for them alone.
Messages name a path and a keyword, and nothing of the answer.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import msgspec

from airflow_provider_claude_batch.core.json_schema_to_arrow import unchecked_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jsonschema import FormatChecker
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_decode = msgspec.json.Decoder(float_hook=Decimal).decode

_Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]

#: Decimals beyond this power of ten fulfil no ``multipleOf``: the division would not end.
_MAX_EXPONENT = 400

#: Formats of structured outputs that jsonschema checks only where further packages are installed, or hardly.
_PATTERNS = {
    "duration": r"P(?=\d|T\d)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?",
    "email": r"[^@\s]+@[^@\s]+",
    "hostname": r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+",
}


def answer_checker(json_schema: Mapping[str, object]) -> Callable[[str], str | None] | None:
    """
    Return what says of an answer where it breaks the schema, or ``None`` where its types say it all.

    Numbers are compared digit by digit: 0.3 is a multiple of 0.1. Dates and times are read as the types read
    them, so a date and time may have a space in the place of the ``T``, as RFC 3339 lets applications choose.

    :param json_schema: As :func:`~.output_schema.to_json_schema` returns it.
    """
    unchecked = unchecked_part(json_schema)
    if unchecked is None:
        return None
    validator = _validator(unchecked)
    names = set(_property_names(json_schema))

    def check(text: str) -> str | None:
        try:
            answer = _decode(text)
        except (ValueError, ArithmeticError):
            return "$ holds text that is not valid Unicode, or a number out of range"
        error = next(iter(validator.iter_errors(answer)), None)
        return None if error is None else f"{_path(error, names)} fails {error.validator}"

    return check


def _validator(json_schema: Mapping[str, object]) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    kinds = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    exact = extend(Draft202012Validator, {"multipleOf": _check_multiple}, type_checker=kinds)
    return exact(_decode(msgspec.json.encode(json_schema)), format_checker=_format_checker())


def _format_checker() -> FormatChecker:
    from jsonschema import FormatChecker

    # Those that jsonschema checks with Python's library alone.
    checker = FormatChecker(formats=("ipv4", "ipv6", "uuid", "regex"))
    for name, pattern in _PATTERNS.items():
        checker.checks(name)(_matches(re.compile(pattern)))
    checker.checks("date")(_reads_as(dt.date))
    checker.checks("date-time")(_reads_as(_Moment))
    checker.checks("time")(_reads_as(_Moment, before="1970-01-01T"))
    return checker


def _matches(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or pattern.fullmatch(value) is not None


def _reads_as(kind: object, *, before: str = "") -> Callable[[object], bool]:
    def reads(value: object) -> bool:
        if not isinstance(value, str):
            return True
        try:
            msgspec.convert(before + value, kind)
        except msgspec.ValidationError:
            return False
        return True

    return reads


def _is_integer(_checker: object, value: object) -> bool:
    if isinstance(value, Decimal):
        return value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


def _check_multiple(
    validator: Validator, step: int | Decimal, value: object, _schema: object
) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(value, "number") or not isinstance(value, int | Decimal):
        return
    is_huge = isinstance(value, Decimal) and value != 0 and abs(value.adjusted()) > _MAX_EXPONENT
    if is_huge or Fraction(value) % Fraction(step):
        yield ValidationError("not a multiple")


def _property_names(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        properties = node.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for member in node.values():
            yield from _property_names(member)
    elif isinstance(node, list):
        for member in node:
            yield from _property_names(member)


def _path(error: ValidationError, names: set[str]) -> str:
    """Return a path such as ``$.tags[2]``; a name that the schema does not know is the answer's own."""
    steps = (
        f"[{step}]" if isinstance(step, int) else f".{step}" if step in names else ".*"
        for step in error.absolute_path
    )
    return "$" + "".join(steps)
