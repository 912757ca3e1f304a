"""What one check of ``claude-batch doctor`` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """
    One line of the doctor.

    :param level: ``ok``; ``warn``: it works, and something would go wrong or cannot be seen from here;
        ``FAIL``: a submission would fail, or could be paid twice.
    :param said: What was found, and what to do.
    """

    level: Literal["ok", "warn", "FAIL"]
    name: str
    said: str


def ok(name: str, said: str) -> Check:
    """Return a check that passed."""
    return Check("ok", name, said)


def warn(name: str, said: str) -> Check:
    """Return a check that a person should read."""
    return Check("warn", name, said)


def fail(name: str, said: str) -> Check:
    """Return a check that did not pass."""
    return Check("FAIL", name, said)
