"""
Sums over published rows: what the receipt, the log and the gate are made of.

Imports pyarrow inside functions only: this module is reached from a Dag file.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

#: Kinds of tokens, as their columns are called without our prefix and suffix.
TOKEN_KINDS = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read", "thinking")


@dataclass(slots=True)
class Tally:
    """
    Running sums.

    :param rows: Rows so far.
    :param outcomes: Rows by outcome.
    :param tokens: Tokens by kind.
    """

    rows: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)

    def add(self, rows: pa.RecordBatch) -> None:
        """Add rows of the published schema."""
        import pyarrow.compute as pc

        self.rows += rows.num_rows
        for count in pc.value_counts(rows.column("claude_outcome")).to_pylist():
            self.outcomes[count["values"]] += count["counts"]
        for kind in TOKEN_KINDS:
            self.tokens[kind] += pc.sum(rows.column(f"claude_{kind}_tokens"), min_count=0).as_py()
