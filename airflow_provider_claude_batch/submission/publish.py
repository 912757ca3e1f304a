"""
Rows to the destination: one Parquet object, replaced by one put, or several files that a manifest names.

A reader of the object, or of what the manifest names, sees what was there before or all of what is new.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_provider_claude_batch.core.tally import Tally
from airflow_provider_claude_batch.errors import DatasetError, DestinationError, ResultsIncompleteError
from airflow_provider_claude_batch.submission.arrow_memory import frugal_memory
from airflow_provider_claude_batch.submission.dataset_files import LocalDataset, LocalFile, rows_to_files
from airflow_provider_claude_batch.submission.dataset_manifest import DatasetManifest, read_dataset_manifest
from airflow_provider_claude_batch.submission.dataset_partitions import check_partitionable, split_partitions
from airflow_provider_claude_batch.submission.dataset_put import put_files, put_object
from airflow_provider_claude_batch.submission.dataset_sort import check_sortable, merge_runs, rows_to_runs
from airflow_provider_claude_batch.submission.parquet_rows import rows_of
from airflow_provider_claude_batch.submission.storage import Folder, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from typing import BinaryIO

    import pyarrow as pa

    from airflow_provider_claude_batch.submission.dataset_how import PublishHow

_CHUNK_BYTES = 1 << 20

#: Name of the object in a destination that is a folder.
OBJECT_NAME = "data.parquet"


@dataclass(frozen=True, slots=True)
class ReadyFile:
    """
    A Parquet file that may be published as it is.

    :param uri: Where it lies.
    :param open: Opens it for reading.
    :param sha256: Of its bytes as they were written; a file that is another by now is not published.
    """

    uri: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    sha256: str


@dataclass(frozen=True, slots=True)
class Destination:
    """
    Where the dataset lies.

    :param folder: Folder of the object.
    :param name: Name of the object in it.
    :param manifest_name: Of the manifest that names the files where they are several; ``None`` where the
        author named one file.
    """

    folder: Folder
    name: str
    manifest_name: str | None = None

    @classmethod
    def at(cls, uri: str, *, map_index: int | None = None) -> Destination:
        """
        Open a destination.

        :param uri: A folder, which gets one ``data.parquet``, or a path that ends in ``.parquet``.
        :param map_index: Of a mapped task, each instance of which gets an object of its own; -1 and ``None``
            for one that is not.
        :raises DestinationError: The scheme or its connection is not known here, or a mapped task names one
            file.
        """
        if not uri.strip():
            raise DestinationError("destination is empty. Nothing was sent.")
        parent, _, name = uri.rstrip("/").rpartition("/")
        manifest_name = None
        is_mapped = map_index is not None and map_index >= 0
        if not name.endswith(".parquet"):
            suffix = f"-{map_index:05d}" if is_mapped else ""
            parent, name, manifest_name = uri.rstrip("/"), f"data{suffix}.parquet", f"_manifest{suffix}.json"
        elif is_mapped:
            raise DestinationError(
                f"destination {uri} is one file, and every instance of a mapped task would write it."
            )
        try:
            return cls(Folder.at(parent or "."), name, manifest_name)
        except Exception as error:
            # Whatever the file system of the scheme raises: a missing extra, a missing connection, a bad URI.
            raise DestinationError(f"destination {uri}: {type(error).__name__}: {error}") from error

    @property
    def uri(self) -> str:
        """URI of the object."""
        return f"{self.folder.uri}/{self.name}"

    def check_writable(self) -> None:
        """
        Write an empty hidden object beside the dataset and remove it again.

        :raises DestinationError: It cannot be written, or a file that is not ours has the manifest's name.
        """
        probe = f".claude-batch-write-check-{uuid4().hex}"
        try:
            self.folder.write(probe, b"")
            self.folder.remove(probe)
            if self.manifest_name is not None:
                read_dataset_manifest(self.folder, self.manifest_name)
        except Exception as error:
            # Every store has errors of its own; any of them means that the results could not be put here.
            raise DestinationError(
                f"destination {self.folder.uri} cannot be written: {type(error).__name__}: {error}. Nothing "
                "was sent because of this check."
            ) from error


@dataclass(frozen=True, slots=True)
class Published:
    """
    What was published.

    :param files: URIs of the files. Where rows are partitioned, they hold values of the rows.
    :param manifest: URI of the manifest that names the files; ``None`` for one object.
    """

    files: list[str]
    tally: Tally
    manifest: str | None = None


def publish_rows(
    rows: Iterator[pa.RecordBatch],
    schema: pa.Schema,
    destination: Destination,
    *,
    row_count: int,
    how: PublishHow,
    identity: str,
    gate: Callable[[Tally, LocalDataset], None],
    now: datetime,
    ready: ReadyFile | None = None,
    fence: Callable[[], None] = lambda: None,
) -> Published:
    """
    Make some rows the dataset of the destination, if they are all there and the gate lets them pass.

    They are written to local disk first, twice where they are sorted or partitioned. In memory: a row group,
    and 1 MB for every 32 MB that is sorted. Doing it again with the same rows puts the same bytes in place.

    :param rows: Of ``schema``; they come once.
    :param row_count: Rows that the snapshot asks for, times the samples of each.
    :param identity: Of the submission.
    :param gate: Raises where the rows are not to be published; called once, when all are on local disk.
    :param now: With a zone.
    :param ready: A file of exactly these rows and this schema, which is copied where it can be the dataset as
        it is.
    :param fence: Raises where they are not to be published any more; called right before the put that makes
        them the dataset.
    :raises ResultsIncompleteError: The rows are not as many as the snapshot's, or ``ready`` was altered.
    :raises DatasetError: The rows cannot be laid out as asked, or the destination's manifest is not ours.
    """
    _check_how(how, schema, destination)
    tally = Tally(how.key)
    max_bytes = None if destination.manifest_name is None else how.max_file_bytes
    with frugal_memory(), scratch_folder() as scratch:

        def judge(files: list[Path]) -> None:
            if tally.rows != row_count:
                raise ResultsIncompleteError(
                    f"The snapshot asks for {row_count} rows and there are {tally.rows}. {destination.uri} "
                    "keeps what it had."
                )
            gate(tally, LocalDataset(files, schema, scratch))

        files = _judged_files(
            rows, schema, scratch, how=how, max_bytes=max_bytes, ready=ready, tally=tally, judge=judge
        )
        manifest = DatasetManifest(
            identity=identity,
            published_at=now,
            columns={field.name: str(field.type) for field in schema},
            partition_by=list(how.partition_by),
            files=[],
        )
        if destination.manifest_name is None or not (how.partition_by or files[1:]):
            put_object(files[0], destination, manifest, fence=fence, keep_old=how.keep_old)
            return Published([destination.uri], tally)
        uris = put_files(
            files, destination, destination.manifest_name, manifest, fence=fence, keep_old=how.keep_old
        )
        return Published(uris, tally, f"{destination.folder.uri}/{destination.manifest_name}")


def _judged_files(
    rows: Iterator[pa.RecordBatch],
    schema: pa.Schema,
    scratch: Path,
    *,
    how: PublishHow,
    max_bytes: int | None,
    ready: ReadyFile | None,
    tally: Tally,
    judge: Callable[[list[Path]], None],
) -> list[LocalFile]:
    """Write the files and count their rows; those to be put in order are judged before the work of it."""
    import pyarrow as pa

    folder = scratch / "files"
    counted = _counted(rows, schema, tally)
    if how.order:
        runs = rows_to_runs(counted, schema, scratch / "runs.parquet", how.order)
        judge([runs.path])
        parts = split_partitions(merge_runs(runs), how.partition_by)
        return rows_to_files(parts, schema, folder, max_file_bytes=max_bytes)
    copied = _copied(ready, scratch / "ready.parquet", tally, max_bytes=max_bytes) if ready else None
    if copied is not None:
        files = [copied]
    else:
        tables = (("", pa.Table.from_batches([batch])) for batch in counted)
        files = rows_to_files(tables, schema, folder, max_file_bytes=max_bytes)
    judge([file.path for file in files])
    return files


def _copied(ready: ReadyFile, path: Path, tally: Tally, *, max_bytes: int | None) -> LocalFile | None:
    """Copy a file that is whole and not too large, and count its rows."""
    import pyarrow.parquet as pq

    digest = hashlib.sha256()
    with ready.open() as source:
        size = source.seek(0, os.SEEK_END)
        if max_bytes is not None and size > max_bytes:
            return None
        source.seek(0)
        with path.open("wb") as sink:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                sink.write(chunk)
    if digest.hexdigest() != ready.sha256:
        raise ResultsIncompleteError(
            f"{ready.uri} is not what was written: its SHA-256 is not that of the batch's record. Nothing is "
            "published. Remove the file, and a retry reads the results again, which is free for 29 days."
        )
    with pq.ParquetFile(path) as file:
        for batch in rows_of(file, tally.columns):
            tally.add(batch)
    return LocalFile(path, path.name, tally.rows, size)


def _counted(rows: Iterator[pa.RecordBatch], schema: pa.Schema, tally: Tally) -> Iterator[pa.RecordBatch]:
    for batch in rows:
        typed = batch if batch.schema == schema else batch.cast(schema)
        tally.add(typed)
        yield typed


def _check_how(how: PublishHow, schema: pa.Schema, destination: Destination) -> None:
    check_sortable(schema, how.order)
    check_partitionable(schema, how.partition_by)
    if how.partition_by and destination.manifest_name is None:
        raise DatasetError(
            f"partition_by makes several files and destination {destination.uri} is one: give a folder. It "
            "keeps what it had, and a retry pays for nothing."
        )
