"""
The gate before a dataset is replaced: not too many rows without a usable answer.

Pure arithmetic over a :class:`~.tally.Tally`; the checks that look at the rows are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import ClaudeBatchInputError

if TYPE_CHECKING:
    from airflow_provider_claude_batch.core.tally import Tally

#: Name of the limit on all rows without a usable answer.
TOTAL = "total"

#: Outcomes of a row without a usable answer.
UNUSABLE = frozenset(
    {"truncated", "refused", "invalid_output", "errored", "expired", "canceled", "missing", "rejected"}
)

_LIMITED = UNUSABLE | {TOTAL}


@dataclass(frozen=True, slots=True)
class Gate:
    """
    Limits on the rows without a usable answer, which are all whose outcome is not ``ok``.

    :param limits: Highest share of all rows, by outcome; ``total`` is for all of them together.
    :param min_error_count: Fewer rows than these are never too many, unless no row at all is ``ok``.
    """

    limits: Mapping[str, Fraction]
    min_error_count: int

    @classmethod
    def of(
        cls, max_error_rate: float | Mapping[str, float] | None = 0.01, *, min_error_count: int = 5
    ) -> Gate:
        """
        Read the arguments of a task.

        :param max_error_rate: Highest share of rows without a usable answer, from 0 to 1, or a limit for each
            outcome that is named: ``{"errored": 0.005, "refused": 0.1, "total": 0.2}``. An outcome that is
            not named counts only towards ``total``, and without ``total`` it is not limited. ``None`` for no
            limit.
        :param min_error_count: Rows that a limit lets pass in any case but one: no row is ``ok``. With 0, the
            shares alone decide.
        :raises ClaudeBatchInputError: A limit is not a share, or is for something that is not an outcome.
        """
        if not isinstance(max_error_rate, Mapping):
            max_error_rate = {} if max_error_rate is None else {TOTAL: max_error_rate}
        if unknown := sorted(map(str, max_error_rate.keys() - _LIMITED)):
            raise ClaudeBatchInputError(
                f"max_error_rate limits {', '.join(unknown)}; it takes {', '.join(sorted(_LIMITED))}. "
                "Nothing was sent."
            )
        if isinstance(min_error_count, bool) or min_error_count < 0:
            raise ClaudeBatchInputError(
                f"min_error_count is {min_error_count}; it must be 0 or more. Nothing was sent."
            )
        limits = {outcome: _share(outcome, rate) for outcome, rate in max_error_rate.items()}
        return cls(limits, min_error_count)

    def refusal(self, tally: Tally) -> str | None:
        """
        Say which limits the rows are over, or ``None`` where they pass. An empty dataset passes.

        The text holds counts, shares and up to five keys of each outcome, and nothing else of a row.
        """
        unusable = tally.rows - tally.outcomes["ok"]
        counts = {**tally.outcomes, TOTAL: unusable}
        broken = [
            f"{_name(outcome)} {count} of {tally.rows} rows ({count / tally.rows:.2%}), and max_error_rate "
            f"allows {float(limit):.2%}"
            for outcome, limit in self.limits.items()
            if (count := counts.get(outcome, 0)) > limit * tally.rows
            and (count >= self.min_error_count or unusable == tally.rows)
        ]
        return f"{'; '.join(broken)}. Of all rows: {_outcomes_text(tally)}" if broken else None


def _share(outcome: str, rate: float) -> Fraction:
    # The decimal that the author wrote: as a binary number, 29 % of 100 rows are fewer than 29.
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise ClaudeBatchInputError(
            f"max_error_rate for {outcome} is {rate}; it is a share from 0 to 1. Nothing was sent."
        )
    return Fraction(str(rate))


def _name(outcome: str) -> str:
    return "without a usable answer are" if outcome == TOTAL else f"{outcome} are"


def _outcomes_text(tally: Tally) -> str:
    return ", ".join(
        f"{count} {outcome}{_samples_text(tally.samples.get(outcome, []), count)}"
        for outcome, count in tally.outcomes.most_common()
    )


def _samples_text(keys: list[str], count: int) -> str:
    if not keys:
        return ""
    return f" ({'; '.join(keys)}{'; ...' if count > len(keys) else ''})"
