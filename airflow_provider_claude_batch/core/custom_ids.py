"""
The ``custom_id`` of every request: whose it is, which one it is, and for people what it is about.

``<identity>-<ordinal>``, and ``<readable>-<identity>-<ordinal>`` where a column is asked to stand in front.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import SourceColumnsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

_LONGEST = 64
_LONGEST_ORDINAL = 10
_READABLE = re.compile(r"[a-zA-Z0-9_-]+")
_NAMED_KEYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomIds:
    """
    The ids of one record batch of rows.

    :param first_ordinal: Of the first row's first sample; ordinals have no gap.
    :param samples: Requests of each row.
    :param readable: What stands in front of each row's ids, or ``None``.
    """

    identity: str
    first_ordinal: int
    samples: int
    readable: Sequence[str] | None

    def at(self, row: int, sample: int) -> str:
        """Return the id of one sample of one row, both from 0."""
        custom_id = f"{self.identity}-{self.first_ordinal + row * self.samples + sample}"
        return f"{self.readable[row]}-{custom_id}" if self.readable is not None else custom_id


def parse_custom_id(custom_id: str) -> tuple[str, int] | None:
    """Return identity and ordinal of an id that was made here, or ``None`` for any other."""
    front, _, ordinal = custom_id.rpartition("-")
    if not (ordinal.isascii() and ordinal.isdecimal()):
        return None
    return front.rpartition("-")[2], int(ordinal)


def renumbered_custom_id(custom_id: str, *, identity: str, ordinal: int) -> str:
    """
    Return the id of the same row in a later round: its readable part, then whose it is and a new number.

    :param custom_id: As it was made here, by this submission or an earlier one.
    """
    readable = custom_id.rpartition("-")[0].rpartition("-")[0]
    return f"{readable}-{identity}-{ordinal}" if readable else f"{identity}-{ordinal}"


def readable_parts(
    rows: pa.RecordBatch, column: str | None, *, identity: str, key: Sequence[str]
) -> list[str] | None:
    """
    Return the readable part of each row's ids.

    :param rows: Rows of the source.
    :param column: Column that it is taken from, or ``None`` for no such part.
    :param key: Columns that identify a row, for the message.
    :raises SourceColumnsError: Some values do not fit in a ``custom_id``; names the first keys.
    """
    if column is None:
        return None
    room = _LONGEST - len(identity) - _LONGEST_ORDINAL - 2
    values = ["" if value is None else str(value) for value in rows.column(column).to_pylist()]
    wrong = [
        row for row, value in enumerate(values) if len(value) > room or _READABLE.fullmatch(value) is None
    ]
    if wrong:
        named = "; ".join(
            ", ".join(f"{name}={rows.column(name)[row].as_py()}" for name in key)
            for row in wrong[:_NAMED_KEYS]
        )
        raise SourceColumnsError(
            f"custom_id_from={column!r}: {len(wrong)} of these {len(values)} rows have a value that does "
            f"not fit, the first {named}. It may have up to {room} characters of a-z, A-Z, 0-9, _ and -. "
            "Nothing was sent."
        )
    return values
