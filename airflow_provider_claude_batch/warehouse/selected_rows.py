"""The rows and columns of the dataset that are to be written, in record batches under the table's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import ClaudeBatchInputError, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

OUTCOME = "claude_outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedRows:
    """
    What of local Parquet files is to be written.

    :param paths: The files; all have the columns of the first.
    :param columns: Columns of the files to columns of the table.
    :param outcomes: Values of ``claude_outcome`` of the rows that are written; ``None`` for all rows.
    :param chunk_rows: Rows of one record batch, at most.
    """

    paths: Sequence[Path]
    columns: Mapping[str, str]
    outcomes: tuple[str, ...] | None
    chunk_rows: int

    @property
    def schema(self) -> pa.Schema:
        """Schema of the record batches."""
        import pyarrow as pa

        found = dataset_schema(self.paths)
        return pa.schema([found.field(name).with_name(target) for name, target in self.columns.items()])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in order; one record batch is in memory at a time."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        read = list(self.columns) if self.outcomes is None else list({OUTCOME: None} | dict(self.columns))
        for path in self.paths:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(self.chunk_rows, columns=read, use_threads=False):
                    kept = batch
                    if self.outcomes is not None:
                        wanted = pc.is_in(batch.column(OUTCOME), pa.array(self.outcomes, pa.string()))
                        kept = batch.filter(wanted)
                    if kept.num_rows:
                        columns = [kept.column(name) for name in self.columns]
                        yield pa.RecordBatch.from_arrays(columns, names=list(self.columns.values()))


def dataset_schema(paths: Sequence[Path]) -> pa.Schema:
    """
    Return the schema of the files.

    :raises ClaudeBatchInputError: They are of different schemas.
    """
    import pyarrow.parquet as pq

    schemas = [pq.read_schema(path) for path in paths]
    if any(not schema.equals(schemas[0]) for schema in schemas):
        raise ClaudeBatchInputError(
            "the files of the dataset have different columns: write each by a task of its own. Nothing was "
            "written."
        )
    return schemas[0]


def check_row_count(paths: Sequence[Path], published: int | None) -> int:
    """
    Return the number of rows of the files.

    :param published: Rows that the load has published; ``None`` where that is not known.
    :raises WarehouseError: They are not as many.
    """
    import pyarrow.parquet as pq

    rows: int = sum(pq.read_metadata(path).num_rows for path in paths)
    if published is not None and rows != published:
        raise WarehouseError(
            f"the load has published {published} rows, and its files hold {rows}: another load has replaced "
            "them. Nothing was written. Run the load again, which pays nothing, and then this task."
        )
    return rows
