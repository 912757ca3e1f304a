"""How facts are printed for people: times, sizes, tables, and the question before something is done."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_MEGABYTE = 1_000_000


def to_time(time: datetime | None) -> str:
    """Return a time in UTC, to the second, or ``-``."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if time is not None else "-"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 shard``, ``2,000 shards``."""
    return f"{number:,} {noun if number == 1 else plural or noun + ('es' if noun[-2:] == 'ch' else 's')}"


def to_size(size: int) -> str:
    """Return bytes in decimal megabytes, or kilobytes where that is less than one."""
    return f"{size / 1e6:,.1f} MB" if size >= _MEGABYTE else f"{size / 1e3:,.1f} kB"


def to_table(rows: Sequence[Sequence[object]], *, numbers: frozenset[int] = frozenset()) -> list[str]:
    """
    Return rows as lines with aligned columns.

    :param rows: Each with the same number of columns, the heading first.
    :param numbers: Columns, from 0, that are aligned on the right.
    """
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index in numbers else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    ]


def print_json(value: object) -> None:
    """Print records as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def is_confirmed(question: str, *, is_yes: bool) -> bool:
    """Ask, unless ``--yes`` was given; whoever cannot answer has not agreed."""
    if is_yes:
        return True
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False
