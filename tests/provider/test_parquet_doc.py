"""docs/parquet.md is what the files hold and what the readers show."""

import datetime as dt
import decimal
import re
import uuid
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.core.results_to_arrow import published_schema
from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from tests.provider.datasets import publish_all, row

DOC = Path(__file__).parents[2] / "docs" / "parquet.md"
GOLDEN = Path(__file__).with_name("published_schema.txt")
KEYS = pa.schema([("id", pa.int64())])
ANSWER = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
    "required": ["label", "score"],
    "additionalProperties": False,
}

#: A type of each row of the table, with a value.
VALUES = [
    (pa.bool_(), True),
    (pa.int32(), 1),
    (pa.int64(), 1),
    (pa.float64(), 1.5),
    (pa.decimal128(20, 12), decimal.Decimal("0.000000000001")),
    (pa.string(), "a"),
    (pa.dictionary(pa.int32(), pa.string()), "a"),
    (pa.binary(), b"a"),
    (pa.date32(), dt.date(2026, 11, 22)),
    (pa.timestamp("us"), dt.datetime.fromisoformat("2026-11-22")),
    (pa.timestamp("us", "UTC"), dt.datetime(2026, 11, 22, tzinfo=dt.UTC)),
    (pa.time64("us"), dt.time(1)),
    (pa.uuid(), uuid.UUID(int=1).bytes),
    (pa.list_(pa.string()), ["a"]),
    (pa.struct([("a", pa.int64()), ("b", pa.string())]), {"a": 1, "b": "a"}),
]


def cells(after: str) -> list[list[str]]:
    """Return the quoted cells of the first table after a line."""
    table = DOC.read_text().split(after)[1].split("\n\n")[0]
    return [re.findall("`([^`]+)`", line) for line in table.splitlines() if line.startswith("| `")]


def test_the_schema_is_the_golden_file():
    text = "\n".join(f"{field.name}: {field.type}" for field in published_schema(KEYS, ANSWER)) + "\n"
    assert text == GOLDEN.read_text(), "columns are only added, at the end"


def test_every_column_of_ours_is_documented_with_its_type():
    documented = {name: kind for name, kind, *_ in cells("| Column | Type | |\n|---|---|---|\n")}
    assert documented == {field.name: str(field.type) for field in published_schema(pa.schema([]), None)}


def test_the_table_of_the_readers_is_what_they_show(tmp_path):
    columns = {str(kind): pa.array([value], kind) for kind, value in VALUES}
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), file, compression="zstd")
    arrow, pandas, polars = pq.read_table(file), pd.read_parquet(file), pl.read_parquet(file)
    relation = duckdb.read_parquet(str(file))
    duck = dict(zip(relation.columns, map(str, relation.types), strict=True))
    shown = [
        [
            name,
            str(arrow.schema.field(name).type),
            str(pandas[name].dtype),
            duck[name],
            str(polars[name].dtype),
        ]
        for name in columns
    ]
    assert cells("| Arrow | pyarrow | pandas | DuckDB | Polars |\n|---|---|---|---|---|\n") == shown


@pytest.mark.parametrize("how", [PublishHow(), PublishHow(partition_by=("lang", "day"), sort_by=("id",))])
def test_every_reader_reads_the_same_rows(tmp_path, how):
    rows = [row(number) for number in range(300)]
    files = publish_all(tmp_path, rows, how=how).files
    expected = pq.read_table(files, partitioning=None).sort_by("id")
    names = ["id", "lang", "kind", "day", "claude_outcome", "claude_cost_usd"]
    tables = {
        "duckdb": duckdb.read_parquet(files).to_arrow_table(),
        "polars": pl.read_parquet(files).to_arrow(),
        "pandas": pa.Table.from_pandas(pd.concat(pd.read_parquet(file, partitioning=None) for file in files)),
    }
    for reader, table in tables.items():
        found = table.select(names).sort_by("id").to_pylist()
        assert found == expected.select(names).to_pylist(), reader
