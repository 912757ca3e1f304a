"""The ``params`` of each row, as bytes: filled into a template, or made by the author's own function."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from airflow_provider_claude_batch.core.request_template import escape_text
from airflow_provider_claude_batch.core.row_template import value_to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from airflow_provider_claude_batch.core.check_request import Problem
    from airflow_provider_claude_batch.core.request_template import RequestTemplate
    from airflow_provider_claude_batch.core.row_template import Placeholder

_FIRST_NON_ASCII = 128


@dataclass(slots=True)
class Faults:
    """
    Rows of one record batch that cannot be sent.

    :param reasons: Why, by row; the first reason of each.
    :param rejected: Those of them that the author asked to leave out.
    """

    reasons: dict[int, str] = field(default_factory=dict)
    rejected: set[int] = field(default_factory=set)

    def add(self, row: int, reason: str, *, is_rejected: bool = False) -> None:
        """Note a row."""
        if row not in self.reasons:
            self.reasons[row] = reason
            if is_rejected:
                self.rejected.add(row)

    def first(self, *, including_rejected: bool) -> tuple[int, str] | None:
        """Return the first row and its reason, or ``None`` where there is none."""
        rows = self.reasons.keys() if including_rejected else self.reasons.keys() - self.rejected
        return (row := min(rows), self.reasons[row]) if rows else None


def filled_params(
    rows: pa.RecordBatch,
    template: RequestTemplate,
    *,
    on_null: Literal["error", "empty", "reject"],
    faults: Faults,
) -> list[bytes]:
    """
    Fill a template with each row.

    :param on_null: What a null means: a fault, an empty text, or a row that is left out.
    :param faults: Takes the rows that cannot be sent; what is returned for them is not to be used.
    """
    filled = [
        _texts(_values(rows.column(placeholder.column)), placeholder, on_null=on_null, faults=faults)
        for placeholder in template.placeholders
    ]
    for path, positions in template.fillings:
        for row in range(rows.num_rows):
            if all(_is_blank(filled[position][row]) for position in positions):
                faults.add(row, f"{path} is empty")
    first, *rest = template.constants
    if not filled:
        return [first] * rows.num_rows
    pairs = [part for texts, constant in zip(filled, rest, strict=True) for part in (texts, constant)]
    columns = [part if isinstance(part, list) else [part] * rows.num_rows for part in pairs]
    return [b"".join((first, *parts)) for parts in zip(*columns, strict=True)]


def _values(column: pa.Array) -> Sequence[object]:
    """Return what a template formats: Python's values, and JSON in the place of lists, structs and maps."""
    from pyarrow import types

    if not types.is_nested(column.type):
        return cast("list[object]", column.to_pylist())
    from airflow_provider_claude_batch.core.arrow_to_json import nested_to_json

    return nested_to_json(column)


def _texts(
    values: Sequence[object],
    placeholder: Placeholder,
    *,
    on_null: Literal["error", "empty", "reject"],
    faults: Faults,
) -> list[bytes]:
    if not placeholder.spec and (plain := _plain_texts(values)) is not None:
        return plain
    texts: list[bytes] = []
    for row, value in enumerate(values):
        text = b""
        if value is None:
            if on_null != "empty":
                reason = f"{{{placeholder.column}}} of the template is null"
                faults.add(row, reason, is_rejected=on_null == "reject")
        else:
            try:
                text = escape_text(value_to_text(value, placeholder))
            except (TypeError, ValueError) as error:
                said = "it is not valid Unicode" if isinstance(error, UnicodeError) else str(error)
                faults.add(row, f"{{{placeholder.column}}} of the template cannot be filled: {said}")
        texts.append(text)
    return texts


def _plain_texts(values: Sequence[object]) -> list[bytes] | None:
    """Escape values that are all text, which is most of what is ever sent; ``None`` where one is not."""
    if set(map(type, values)) != {str}:
        return None
    encode = msgspec.json.Encoder().encode
    try:
        return [encode(value)[1:-1] for value in values]
    except UnicodeError:
        return None


def _is_blank(escaped: bytes) -> bool:
    """Return whether a JSON string's inside is white space; looks closer only where it begins like that."""
    if not escaped:
        return True
    if escaped[:1] not in (b" ", b"\\") and escaped[0] < _FIRST_NON_ASCII:
        return False
    text: str = msgspec.json.decode(b'"' + escaped + b'"')
    return not text.strip()


class BuildRequestError(Exception):
    """
    The author's function failed.

    :param row: Number of the row in the record batch.
    """

    def __init__(self, reason: str, *, row: int) -> None:
        self.row = row
        super().__init__(reason)


def built_params(
    rows: pa.RecordBatch,
    build_request: Callable[[dict[str, object]], Mapping[str, object]],
    check: Callable[[Mapping[str, object]], list[Problem]] | None,
    faults: Faults,
) -> list[bytes]:
    """
    Let the author's function make ``params`` of each row.

    :param build_request: Takes a row as a dict and returns ``params``.
    :param check: Says what the API would refuse in them.
    :param faults: Takes the rows that cannot be sent; what is returned for them is not to be used.
    :raises BuildRequestError: The function raised, or returned what is not JSON. Its message is withheld,
        since it may quote the row.
    """
    built: list[bytes] = []
    for row, values in enumerate(rows.to_pylist()):
        try:
            params = _mapping(build_request(values))
            built.append(msgspec.json.encode(params))
        except Exception as error:
            raise BuildRequestError(f"build_request raised {_where(error)}", row=row) from None
        if check is not None and (problems := check(params)):
            faults.add(row, "; ".join(map(str, problems)))
    return built


def _mapping(params: object) -> Mapping[str, object]:
    if not isinstance(params, dict):
        raise TypeError("params are a dict")
    return params


def _where(error: Exception) -> str:
    """Name an error and its line, but not its message, which may quote the row."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" in line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
    return f"{type(error).__name__}{at}"
