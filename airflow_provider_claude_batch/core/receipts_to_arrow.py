"""Receipts of many submissions as one table, one row each. Pure; columns are only added."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_provider_claude_batch.core.costs import latest_receipts
from airflow_provider_claude_batch.core.tally import TOKEN_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_claude_batch.core.manifest import Receipt

_OUTCOMES = (
    "ok",
    "truncated",
    "refused",
    "invalid_output",
    "errored",
    "expired",
    "canceled",
    "missing",
    "rejected",
)
_TIME = pa.timestamp("us", tz="UTC")
_USD = pa.decimal128(20, 12)

#: ``day`` is that of ``published_at``, in UTC; dollars are null where a price was not known.
RECEIPTS_SCHEMA = pa.schema(
    [
        ("day", pa.date32()),
        ("dag_id", pa.string()),
        ("run_id", pa.string()),
        ("task_id", pa.string()),
        ("map_index", pa.int32()),
        ("identity", pa.string()),
        ("model", pa.string()),
        ("rows", pa.int64()),
        *((f"{outcome}_rows", pa.int64()) for outcome in _OUTCOMES),
        ("reused_rows", pa.int64()),
        ("rounds", pa.int32()),
        *((f"{kind}_tokens", pa.int64()) for kind in TOKEN_KINDS),
        ("cost_usd", _USD),
        ("list_cost_usd", _USD),
        ("created_at", _TIME),
        ("published_at", _TIME),
        ("batch_ids", pa.list_(pa.string())),
        ("batch_seconds", pa.list_(pa.float64())),
        ("files", pa.list_(pa.string())),
        ("billed_rows", pa.int64()),
    ]
)


def receipts_to_arrow(receipts: Iterable[Receipt]) -> pa.Table:
    """Return the last receipt of each submission as a table, oldest first."""
    rows = [_to_row(receipt) for receipt in latest_receipts(receipts)]
    return pa.Table.from_pylist(rows, schema=RECEIPTS_SCHEMA)


def _to_row(receipt: Receipt) -> dict[str, object]:
    return {
        "day": receipt.published_at.date(),
        "dag_id": receipt.dag_id,
        "run_id": receipt.run_id,
        "task_id": receipt.task_id,
        "map_index": receipt.map_index,
        "identity": receipt.identity,
        "model": receipt.model,
        "rows": receipt.rows,
        **{f"{outcome}_rows": receipt.outcomes.get(outcome, 0) for outcome in _OUTCOMES},
        "reused_rows": receipt.reused_rows,
        "rounds": receipt.rounds,
        **{f"{kind}_tokens": receipt.tokens.get(kind, 0) for kind in TOKEN_KINDS},
        "cost_usd": _to_usd(receipt.cost_usd),
        "list_cost_usd": _to_usd(receipt.list_cost_usd),
        "created_at": receipt.created_at,
        "published_at": receipt.published_at,
        "batch_ids": receipt.batch_ids,
        "batch_seconds": receipt.batch_seconds,
        "files": receipt.files,
        "billed_rows": receipt.billed_rows,
    }


def _to_usd(amount: str | None) -> Decimal | None:
    return None if amount is None else Decimal(amount).quantize(Decimal("1E-12"))
