"""
Landed shards to the destination: one Parquet object, replaced by one put.

A reader of the destination sees what was there before or all of what is new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_provider_claude_batch.core.tally import Tally
from airflow_provider_claude_batch.errors import DestinationError, ResultsIncompleteError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.storage import Folder, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from airflow_provider_claude_batch.core.manifest import Round
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

#: Name of the object in a destination that is a folder.
OBJECT_NAME = "data.parquet"


@dataclass(frozen=True, slots=True)
class Destination:
    """
    Where the dataset lies.

    :param folder: Folder of the object.
    :param name: Name of the object in it.
    """

    folder: Folder
    name: str

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
        is_mapped = map_index is not None and map_index >= 0
        if not name.endswith(".parquet"):
            parent, name = uri.rstrip("/"), f"data-{map_index:05d}.parquet" if is_mapped else OBJECT_NAME
        elif is_mapped:
            raise DestinationError(
                f"destination {uri} is one file, and every instance of a mapped task would write it."
            )
        try:
            return cls(Folder.at(parent or "."), name)
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

        :raises DestinationError: It cannot be written.
        """
        probe = f".claude-batch-write-check-{uuid4().hex}"
        try:
            self.folder.write(probe, b"")
            self.folder.remove(probe)
        except Exception as error:
            # Every store has errors of its own; any of them means that the results could not be put here.
            raise DestinationError(
                f"destination {self.folder.uri} cannot be written: {type(error).__name__}: {error}. Nothing "
                "was sent because of this check."
            ) from error


def publish(
    folder: ManifestFolder,
    record: Round,
    destination: Destination,
    *,
    row_count: int,
    json_schema: Mapping[str, object] | None,
) -> Tally:
    """
    Write the rows of all landed shards as the destination's one object.

    Rows come shard by shard. In memory: one record batch; on local disk: the whole dataset once.

    :param record: Its shards are landed.
    :param row_count: Rows that the snapshot asks for, times the samples of each.
    :return: What was published.
    :raises ResultsIncompleteError: The rows are not as many as the snapshot's. The destination keeps what it
        had.
    """
    import pyarrow.parquet as pq

    tally = Tally()
    with scratch_folder() as scratch:
        path = scratch / OBJECT_NAME
        with pq.ParquetWriter(path, _schema(folder, record, json_schema), compression="zstd") as writer:
            for rows in _landed_rows(folder, record):
                tally.add(rows)
                writer.write_batch(rows)
        if tally.rows != row_count:
            raise ResultsIncompleteError(
                f"{folder.uri} holds {row_count} rows in and {tally.rows} rows out. {destination.uri} keeps "
                "what it had."
            )
        destination.folder.put(path, destination.name)
    return tally


def _schema(folder: ManifestFolder, record: Round, json_schema: Mapping[str, object] | None) -> pa.Schema:
    import pyarrow.parquet as pq

    from airflow_provider_claude_batch.core.results_to_arrow import published_schema

    with folder.folder.open(names.keys_path(record.index, 0, record.identity)) as file:
        return published_schema(pq.read_schema(file), json_schema)


def _landed_rows(folder: ManifestFolder, record: Round) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for shard in record.shards:
        with folder.folder.open(names.results_path(record.index, shard.index)) as file:
            yield from pq.ParquetFile(file).iter_batches(batch_size=8192)
