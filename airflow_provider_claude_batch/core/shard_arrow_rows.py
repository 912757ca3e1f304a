"""
Flat result lines and the keys of their shard to the rows that are published.

A line finds its row by the ordinal at the end of its ``custom_id``; the whole id must be the row's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_claude_batch.core.custom_ids import parse_custom_id
from airflow_provider_claude_batch.core.manifest import ANSWERED_ELSEWHERE
from airflow_provider_claude_batch.core.tally import TOKEN_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from airflow_provider_claude_batch.core.prices import PriceList

_COST_TYPE = pa.decimal128(20, 12)


@dataclass(frozen=True, slots=True)
class Claims:
    """
    Which lines of a block became rows.

    :param lines: Their numbers in the block, in order.
    :param rows: The rows of the shard, one each.
    :param differing: Doubled lines that are not the row's first one once more; 0 where that is not looked at.
    """

    lines: NDArray[np.int64]
    rows: NDArray[np.int64]
    foreign: int
    doubled: int
    differing: int


class ShardRows:
    """
    The keys of one shard, and which of its requests have had a line.

    :param keys: One row a request, ordinals without a gap.
    :param schema: Of what is published.
    :param constants: Columns with one value for every request that was sent.
    :param price_list: Prices of the batch, or ``None`` where costs stay null.
    """

    def __init__(
        self,
        keys: pa.Table,
        schema: pa.Schema,
        *,
        constants: Mapping[str, object],
        price_list: PriceList | None,
    ) -> None:
        self._keys = keys.combine_chunks()
        self._schema = schema
        self._constants = constants
        self._price_list = price_list
        self._custom_ids = _only_chunk(self._keys, "claude_custom_id")
        first = parse_custom_id(self._custom_ids[0].as_py()) if keys.num_rows else None
        self._first_ordinal = first[1] if first else 0
        reasons = _only_chunk(self._keys, "claude_rejected")
        self._is_sent = reasons.is_null().to_numpy(zero_copy_only=False)
        self._is_seen = np.zeros(keys.num_rows, np.bool_)
        self._prints = np.zeros(keys.num_rows, np.int64)
        answered = pc.is_in(reasons, value_set=pa.array(ANSWERED_ELSEWHERE, pa.string()))
        #: Rows that were not sent and are not answered elsewhere, in order.
        self.rejected = np.flatnonzero(pc.and_(reasons.is_valid(), pc.invert(answered)))

    def claim(self, custom_ids: pa.Array, prints: pa.Array | None = None) -> Claims:
        """
        Find the rows of lines and mark them seen; the first line of a row counts.

        :param prints: A number for each line, equal for lines that are the same; ``None`` for not comparing.
        """
        ordinals = pc.struct_field(pc.extract_regex(custom_ids, r"-(?P<ordinal>[0-9]{1,18})$"), "ordinal")
        rows = pc.subtract(pc.cast(ordinals, pa.int64()), self._first_ordinal)
        is_row = pc.and_(pc.greater_equal(rows, 0), pc.less(rows, len(self._custom_ids)))
        rows = pc.if_else(is_row, rows, None)
        is_ours = pc.fill_null(pc.equal(self._custom_ids.take(rows), custom_ids), fill_value=False)
        lines = np.flatnonzero(is_ours)
        found = pc.fill_null(rows, 0).to_numpy()[lines]
        is_sent = self._is_sent[found]
        lines, found = lines[is_sent], found[is_sent]
        _, firsts = np.unique(found, return_index=True)
        firsts.sort()
        is_new = ~self._is_seen[found[firsts]]
        chosen = firsts[is_new]
        self._is_seen[found[chosen]] = True
        return Claims(
            lines[chosen],
            found[chosen],
            foreign=len(custom_ids) - len(lines),
            doubled=len(lines) - len(chosen),
            differing=0 if prints is None else self._differing(prints.to_numpy()[lines], found, chosen),
        )

    def _differing(
        self, prints: NDArray[np.int64], rows: NDArray[np.int64], chosen: NDArray[np.int64]
    ) -> int:
        """Count the lines of rows whose first line was another."""
        self._prints[rows[chosen]] = prints[chosen]
        return int((self._prints[rows] != prints).sum())

    def missing(self) -> NDArray[np.int64]:
        """Return the requests without a line, in order."""
        return np.flatnonzero(self._is_sent & ~self._is_seen)

    def answered(self, rows: NDArray[np.int64], lines: pa.RecordBatch) -> pa.RecordBatch:
        """
        Return the rows of lines.

        :param lines: What they tell, by published name.
        """
        columns = {name: lines.column(name) for name in lines.schema.names}
        if self._price_list is not None:
            tokens = {kind: columns[f"claude_{kind}_tokens"] for kind in TOKEN_KINDS}
            columns["claude_cost_usd"] = self._price_list.costs_usd(
                columns["claude_model"], tokens, columns["claude_inference_geo"]
            )
        return self._assemble(rows, columns, self._constants)

    def without_line(self, rows: NDArray[np.int64]) -> pa.RecordBatch:
        """Return rows for requests that have no line."""
        constants = {**self._constants, "claude_outcome": "missing"}
        return self._assemble(rows, self._free(len(rows)), constants)

    def not_sent(self, rows: NDArray[np.int64]) -> pa.RecordBatch:
        """Return rows that were not sent, with the reason as their error message."""
        reasons = _only_chunk(self._keys, "claude_rejected").take(pa.array(rows))
        columns = {**self._free(len(rows)), "claude_error_message": reasons}
        return self._assemble(rows, columns, {"claude_outcome": "rejected", "claude_rounds": 0})

    def _free(self, count: int) -> dict[str, pa.Array]:
        """Return the cost of rows that nothing is billed for."""
        if self._price_list is None:
            return {}
        return {"claude_cost_usd": pa.array([0] * count, _COST_TYPE)}

    def _assemble(
        self, rows: NDArray[np.int64], columns: Mapping[str, pa.Array], constants: Mapping[str, object]
    ) -> pa.RecordBatch:
        keys = self._keys.take(pa.array(rows))
        arrays = []
        for field in self._schema:
            if field.name in columns:
                values = columns[field.name]
            elif field.name in constants:
                values = pa.repeat(pa.scalar(constants[field.name], field.type), len(rows))
            elif field.name in keys.schema.names:
                values = _only_chunk(keys, field.name)
            else:
                values = pa.nulls(len(rows), field.type)
            arrays.append(_with_prior(values, keys, field))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _with_prior(values: pa.Array, keys: pa.Table, field: pa.Field) -> pa.Array:
    """Add what earlier rounds of the rows came to, where the keys say it."""
    prior_name = f"claude_prior_{field.name.removeprefix('claude_')}"
    if not field.name.startswith("claude_") or prior_name not in keys.schema.names:
        return values
    prior = _only_chunk(keys, prior_name)
    if pa.types.is_integer(field.type):
        return pc.add(pc.fill_null(values, 0), pc.fill_null(prior, 0))
    return pc.add(values, prior).cast(field.type)


def _only_chunk(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
