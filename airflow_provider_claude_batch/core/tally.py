"""
Sums over published rows: what the receipt, the log and the gate are made of.

Imports pyarrow inside functions only: this module is reached from a Dag file.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

#: Kinds of tokens, as their columns are called without our prefix and suffix.
TOKEN_KINDS = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read", "thinking")

#: Outcomes of requests that were sent and have no answer; what they have cost, earlier rounds have.
UNANSWERED_OUTCOMES = ("errored", "expired", "canceled", "missing")

#: Keys kept of each outcome but ok, so that a person can look at some of its rows.
SAMPLE_KEYS = 5

#: Characters of one value of a key in a sample.
_LONGEST_VALUE = 60


@dataclass(slots=True)
class Tally:
    """
    Running sums.

    :param key: Key columns, whose values name a row; none where the dataset has no key.
    :param rows: Rows so far.
    :param outcomes: Rows by outcome.
    :param tokens: Tokens by kind.
    :param cost_usd: Sum of the dollars that are known.
    :param unpriced: Rows whose cost is not known.
    :param rounds: Most rounds that a row has gone through.
    :param reused: Rows whose answer was paid for earlier.
    :param billed: Rows that the output tokens are of.
    :param samples: Up to five keys of each outcome but ``ok``, as ``column=value``; never a text of the row.
    """

    key: tuple[str, ...] = ()
    rows: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    cost_usd: Decimal = Decimal(0)
    unpriced: int = 0
    rounds: int = 0
    reused: int = 0
    billed: int = 0
    samples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Columns that :meth:`add` looks at."""
        tokens = [f"claude_{kind}_tokens" for kind in TOKEN_KINDS]
        ours = ["claude_outcome", *tokens, "claude_cost_usd", "claude_rounds", "claude_reused_from"]
        return [*self._naming, *ours]

    @property
    def _naming(self) -> tuple[str, ...]:
        return self.key or ("claude_custom_id",)

    def add(self, rows: pa.RecordBatch) -> None:
        """Add rows of the published schema, or of its :attr:`columns`."""
        import pyarrow.compute as pc

        self.rows += rows.num_rows
        outcomes = _plain(rows.column("claude_outcome"))
        for count in pc.value_counts(outcomes).to_pylist():
            self.outcomes[count["values"]] += count["counts"]
        for kind in TOKEN_KINDS:
            self.tokens[kind] += pc.sum(rows.column(f"claude_{kind}_tokens"), min_count=0).as_py()
        self.billed += count_billed(rows.column("claude_output_tokens"))
        cost = rows.column("claude_cost_usd")
        self.cost_usd += pc.sum(cost, min_count=0).as_py()
        self.unpriced += cost.null_count
        self.rounds = max(self.rounds, pc.max(rows.column("claude_rounds")).as_py() or 0)
        self.reused += rows.num_rows - rows.column("claude_reused_from").null_count
        self._sample(rows, outcomes)

    def _sample(self, rows: pa.RecordBatch, outcomes: pa.Array) -> None:
        for outcome, count in self.outcomes.items():
            found = self.samples.get(outcome, [])
            if outcome == "ok" or len(found) == min(count, SAMPLE_KEYS):
                continue
            positions = _positions(outcomes, outcome, SAMPLE_KEYS - len(found))
            self.samples[outcome] = found + [_key_text(rows, at, self._naming) for at in positions]


def count_billed(output_tokens: pa.Array | pa.ChunkedArray) -> int:
    """Return how many rows have tokens of output."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.greater(output_tokens, 0), min_count=0).as_py())


def _plain(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _positions(outcomes: pa.Array, outcome: str, count: int) -> list[int]:
    import pyarrow.compute as pc

    positions: list[int] = pc.indices_nonzero(pc.equal(outcomes, outcome))[:count].to_pylist()
    return positions


def _key_text(rows: pa.RecordBatch, position: int, columns: tuple[str, ...]) -> str:
    values = {name: str(rows.column(name)[position].as_py()) for name in columns}
    return ", ".join(
        f"{name}={value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + '...'}"
        for name, value in values.items()
    )
