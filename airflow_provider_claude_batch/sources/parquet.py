"""Rows of Parquet files, on local disk or an object store, as Arrow record batches."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import QueryError
from airflow_provider_claude_batch.sources.arrow_to_storable import to_storable
from airflow_provider_claude_batch.sources.lineage import report_input
from airflow_provider_claude_batch.sources.sql import CHUNK_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    from airflow.sdk import ObjectStoragePath

#: One condition, such as ``("lang", "in", ["de", "fr"])``.
Condition = tuple[str, str, object]

#: Bytes that are read ahead of a column of one row group.
_READ_BYTES = 1 << 20


@contextmanager
def open_parquet(
    source_path: str,
    *,
    columns: Sequence[str] | None = None,
    row_filter: pc.Expression | Sequence[Condition] | Sequence[Sequence[Condition]] | None = None,
    key: Sequence[str] = (),
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[pa.RecordBatchReader]:
    """
    Yield a reader of the rows of Parquet files, and report the path to Airflow's lineage.

    Files come in the order of their paths, rows in the order of the file. Files whose name begins with ``_``
    or ``.`` are passed over, and ``name=value`` folders below the source are columns. The schema is that of
    the first file: what another one lacks is null, what it has besides is not read. In memory: one record
    batch, the pages that it is decoded from, and the footer of each file.

    :param source_path: One file, a folder with all that is below it, or a glob: a path or a URI that Airflow
        knows, such as ``s3://conn_id@bucket/key/*.parquet``.
    :param columns: The only columns to read; all by default.
    :param row_filter: The only rows to read: an Arrow expression, or as in ``pyarrow.parquet`` a list of
        conditions that must all hold, or a list of such lists of which one must.
    :param key: Columns that name a row in a message.
    :param chunk_rows: Rows of one record batch, at most.
    :raises QueryError: There is no such file, one is not Parquet, or a column is not there. Raised by the
        reader too where a file turns out to be broken.
    :raises RowError: From the reader: text that is not valid UTF-8.
    """
    import pyarrow as pa
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(source_path)
    try:
        dataset = _dataset(path, columns)
        chosen = _row_filter(row_filter)
        schema = dataset.schema if columns is None else pa.schema(map(dataset.schema.field, columns))
        batches = _batches(dataset, schema, chosen, chunk_rows)
    except (pa.ArrowException, FileNotFoundError) as error:
        raise QueryError(f"{source_path} cannot be read as Parquet: {error}. Nothing was sent.") from error
    report_input(path)
    yield to_storable(schema, batches, chunk_rows=chunk_rows, key=key)


def _dataset(path: ObjectStoragePath, columns: Sequence[str] | None) -> ds.Dataset:
    import pyarrow.dataset as ds
    import pyarrow.fs

    root, files = _files(path)
    dataset = ds.dataset(
        files,
        format="parquet",
        filesystem=pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(path.fs)),
        partitioning="hive",
        partition_base_dir=root,
    )
    if missing := [name for name in columns or () if name not in dataset.schema.names]:
        raise QueryError(
            f"{path} has no {', '.join(missing)}, only {', '.join(dataset.schema.names)}. Nothing was sent."
        )
    return dataset


def _row_filter(
    row_filter: pc.Expression | Sequence[Condition] | Sequence[Sequence[Condition]] | None,
) -> pc.Expression | None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if row_filter is None or isinstance(row_filter, pc.Expression):
        return row_filter
    return pq.filters_to_expression(list(row_filter))


def _batches(
    dataset: ds.Dataset, schema: pa.Schema, row_filter: pc.Expression | None, chunk_rows: int
) -> Iterator[pa.RecordBatch]:
    """Read file by file: a dataset's own scanner decodes whole row groups, and several of them at once."""
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    # Every column that the filter may name: its text has the names of all that it does name.
    filtered = "" if row_filter is None else str(row_filter)
    wanted = [name for name in dataset.schema.names if name in schema.names or name in filtered]
    for fragment in dataset.get_fragments(filter=row_filter):
        groups = fragment.subset(filter=row_filter, schema=dataset.schema) if filtered else fragment
        folders = ds.get_partition_keys(fragment.partition_expression)
        with pq.ParquetFile(
            fragment.path, filesystem=dataset.filesystem, buffer_size=_READ_BYTES, pre_buffer=False
        ) as file:
            rows = file.iter_batches(
                batch_size=chunk_rows,
                row_groups=[group.id for group in groups.row_groups],
                columns=[name for name in wanted if name in file.schema_arrow.names],
                use_threads=False,
            )
            for batch in rows:
                whole = _completed(batch, dataset.schema, wanted, folders)
                kept = whole if row_filter is None else whole.filter(row_filter)
                yield from kept.select(schema.names).to_batches()


def _completed(
    batch: pa.RecordBatch, schema: pa.Schema, wanted: Sequence[str], folders: Mapping[str, object]
) -> pa.Table:
    """Return the rows with the columns that the file lacks: what its folders say, or nulls."""
    import pyarrow as pa

    columns = [
        batch.column(name).cast(schema.field(name).type)
        if name in batch.schema.names
        else pa.repeat(pa.scalar(folders.get(name), schema.field(name).type), batch.num_rows)
        for name in wanted
    ]
    return pa.table(columns, schema=pa.schema(map(schema.field, wanted)))


def _files(path: ObjectStoragePath) -> tuple[str, list[str]]:
    """Return the folder that ``name=value`` folders are looked for below, and the files in order."""
    whole = path.path.rstrip("/")
    path.fs.invalidate_cache()
    if any(sign in whole for sign in "*?["):
        root = whole[: min(whole.index(sign) for sign in "*?[" if sign in whole)].rpartition("/")[0]
        found = [file for file in path.fs.glob(whole) if path.fs.isfile(file)]
    elif path.fs.isfile(whole):
        return whole.rpartition("/")[0], [whole]
    else:
        root, found = whole, path.fs.find(whole)
    files = sorted(str(file) for file in found if not _is_hidden(str(file), root))
    if not files:
        raise QueryError(f"{path}: there is no file. Nothing was sent.")
    return root, files


def _is_hidden(file: str, root: str) -> bool:
    parts = file.rpartition(root)[2].split("/")
    return any(part.startswith(("_", ".")) for part in parts)
