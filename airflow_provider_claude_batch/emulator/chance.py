"""Chance that comes out the same for the same seed, on every machine and in every version of Python."""

from __future__ import annotations

import zlib

_RANGE = 2**32


def shuffled(count: int, *, seed: str) -> list[int]:
    """Return the numbers below ``count`` shuffled; never in the natural order if there are two."""
    order = sorted(range(count), key=lambda number: _draw(f"{seed} {number}"))
    if order == list(range(count)):
        order.reverse()
    return order


def fraction(seed: str) -> float:
    """Return a number from 0 up to but not including 1."""
    return _draw(seed) / _RANGE


def _draw(text: str) -> int:
    return zlib.crc32(text.encode()) * 2_654_435_761 % _RANGE
