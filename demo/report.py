"""What the demo shows of the labels it made, and how it checks them."""

from collections import Counter
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from demo.topics import TOPICS

TABLE_COLUMNS = ("distribution_id", "name", "version", "topic", "audience", "gist")
WIDEST_CELL = 44


def read_labels(folder: Path) -> pa.Table:
    """Return every row of the Parquet files below ``folder``, by key."""
    files = sorted(str(path) for path in folder.rglob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"no Parquet file below {folder}")
    return ds.dataset(files).to_table().sort_by("distribution_id")


def problems(labels: pa.Table, warehouse: Path) -> list[str]:
    """Return what is wrong with the labels of ``warehouse``, in sentences; nothing where all is well."""
    with closing(duckdb.connect(str(warehouse), read_only=True)) as database:
        expected = database.execute("select distribution_id from packages order by 1").fetchall()
    found = []
    if labels.schema.field("distribution_id").type != pa.int64():
        found.append(
            f"the key is {labels.schema.field('distribution_id').type}, in the warehouse it is bigint"
        )
    if labels["distribution_id"].to_pylist() != [key for (key,) in expected]:
        found.append(f"{labels.num_rows} rows are not one for each of the {len(expected)} packages")
    if strangers := set(labels["topic"].to_pylist()) - TOPICS - {None}:
        found.append(f"topics that are not in the list: {sorted(strangers)}")
    if unanswered := labels.num_rows - outcomes(labels)["ok"]:
        found.append(f"{unanswered} rows without a valid answer: {dict(outcomes(labels))}")
    return found


def outcomes(labels: pa.Table) -> Counter[str]:
    """Return the number of rows by outcome."""
    return Counter(labels["claude_outcome"].to_pylist())


def summary(labels: pa.Table) -> list[str]:
    """Return the counts by outcome, the agreement with Trove classifiers and the tokens, a line each."""
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes(labels).most_common())
    declared = labels.filter(pc.is_valid(labels["trove_topic"]))
    agreed = pc.sum(pc.equal(declared["topic"], declared["trove_topic"])).as_py() or 0
    tokens = {
        name: pc.sum(labels[f"claude_{name}"]).as_py() or 0 for name in ("input_tokens", "output_tokens")
    }
    cost_usd = pc.sum(labels["claude_cost_usd"]).as_py() or 0
    return [
        f"rows: {labels.num_rows:,} ({counts})",
        f"topic agrees with the package's Trove classifiers: {agreed:,} of {declared.num_rows:,} with one "
        "(the emulator counts words, it does not read)",
        f"tokens: {tokens['input_tokens']:,} input, {tokens['output_tokens']:,} output; at list prices "
        f"${cost_usd:.2f}, as single calls ${2 * cost_usd:.2f}",
    ]


def first_rows(labels: pa.Table, count: int = 10) -> list[str]:
    """Return the first rows as an aligned table of text, long cells cut."""
    rows = [[_cell(row[name]) for name in TABLE_COLUMNS] for row in labels.slice(0, count).to_pylist()]
    rows.insert(0, list(TABLE_COLUMNS))
    widths = [max(len(row[column]) for row in rows) for column in range(len(TABLE_COLUMNS))]
    rows.insert(1, ["-" * width for width in widths])
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _cell(value: object) -> str:
    text = "-" if value is None else " ".join(str(value).split())
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 3]}..."
