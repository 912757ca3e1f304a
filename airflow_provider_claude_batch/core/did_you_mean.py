"""The name that was meant, where one was written that is not there."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: Of :func:`difflib.get_close_matches`: models of different generations are not meant for each other.
_CLOSE = 0.7


def did_you_mean(written: Iterable[str], known: Collection[str]) -> str:
    """
    Return a sentence that follows an error's first, with a space before it; empty where no name is close.

    :param written: Names that are not among the known ones.
    """
    meant = [close[0] for name in written if (close := get_close_matches(name, known, 1, _CLOSE))]
    return f" Did you mean {', '.join(dict.fromkeys(meant))}?" if meant else ""
