"""Rows of the published schema, published without a submission."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_claude_batch.core.results_to_arrow import published_schema
from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from airflow_provider_claude_batch.submission.publish import Destination, Published, publish_rows

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
IDENTITY = "0123456789abcdef"
OWN = pa.schema(
    [
        ("id", pa.int64()),
        ("lang", pa.string()),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("day", pa.date32()),
        ("body", pa.string()),
    ]
)
SCHEMA = published_schema(OWN, None)


def row(number: int, **columns: object) -> dict[str, object]:
    return {
        "id": number,
        "lang": ("de", "en", None, "a/b =%ü")[number % 4],
        "kind": f"k{number % 3}",
        "day": dt.date(2026, 11, 1 + number % 3),
        "body": f"the body of {number}",
        "claude_custom_id": f"{IDENTITY}-{number}",
        "claude_rounds": 1,
        "claude_result_type": "succeeded",
        "claude_outcome": "ok",
        "claude_input_tokens": 10,
        "claude_cost_usd": Decimal("0.001"),
        **columns,
    }


def to_batches(rows: list[dict[str, object]], size: int = 100) -> Iterator[pa.RecordBatch]:
    """Yield the rows in batches, each with a dictionary of its own."""
    for start in range(0, len(rows), size):
        yield pa.RecordBatch.from_pylist(rows[start : start + size], SCHEMA)


def let_pass(tally: object, dataset: object) -> None:
    """Publish whatever the rows are."""


def publish_all(
    destination: Destination | Path | str,
    rows: list[dict[str, object]],
    *,
    batch_size: int = 100,
    **changes: Any,
) -> Published:
    given = {"row_count": len(rows), "identity": IDENTITY, "gate": let_pass, "now": NOW, "how": PublishHow()}
    to = destination if isinstance(destination, Destination) else Destination.at(str(destination))
    return publish_rows(to_batches(rows, batch_size), SCHEMA, to, **{**given, **changes})


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_published(folder: Path) -> pa.Table:
    """Read a dataset as docs/parquet.md says: what the manifest names, or else the one object."""
    manifest = folder / "_manifest.json"
    if not manifest.exists():
        return pq.read_table(folder / "data.parquet")
    files = [folder / file["path"] for file in json.loads(manifest.read_text())["files"]]
    return pq.read_table(files, partitioning=None)
