"""Receipts as tests need them."""

import datetime as dt

from airflow_provider_claude_batch.core.manifest import Receipt

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


def receipt(identity="0" * 16, *, days_ago=0, now=NOON, **given):
    """Return the receipt of a submission of 100 rows that was published some days ago."""
    published = now - dt.timedelta(days=days_ago)
    defaults = {
        "dag_id": "label",
        "run_id": "night",
        "task_id": "load",
        "map_index": -1,
        "model": "claude-haiku-5-5",
        "batch_ids": ["msgbatch_1"],
        "rows": 100,
        "outcomes": {"ok": 98, "refused": 2},
        "tokens": {"input": 10_000, "output": 2_000, "cache_write_1h": 1_000, "cache_read": 9_000},
        "created_at": published - dt.timedelta(hours=1),
        "files": ["s3://lake/labels/data.parquet"],
        "batch_seconds": [1_800.5],
        "cost_usd": "0.01",
    }
    return Receipt(identity=identity, published_at=published, **{**defaults, **given})
