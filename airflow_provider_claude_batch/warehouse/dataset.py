"""What a load has published, found by its output, its manifest or its files, and opened as local files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import ClaudeBatchInputError, WarehouseError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.dataset_manifest import read_dataset_manifest
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.publish import Destination
from airflow_provider_claude_batch.submission.storage import Folder, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

_SAMPLE = "claude_sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """
    Published Parquet files.

    :param files: Their URIs.
    :param rows: Rows that the loads have published, or ``None`` where that is not known.
    :param key: Columns that identify a row, as the submission has them; ``None`` where it is not known.
    :param has_output_schema: The answers have columns of their own.
    """

    files: tuple[str, ...]
    rows: int | None = None
    key: tuple[str, ...] | None = None
    has_output_schema: bool = False


def to_dataset(dataset: object) -> Dataset:
    """
    Take whatever an author may hand to ``dataset=``.

    :param dataset: The output of a load, the manifest URI of a loaded submission, the URI of a destination,
        be it a folder or a ``.parquet`` file, or of a dataset's ``_manifest.json``, or an iterable of these
        such as the output of a mapped load. ``None`` in it, from a skipped task, counts for nothing.
    :raises ClaudeBatchInputError: It is none of these, holds no file, or is of submissions with different
        keys.
    """
    members = list(_members(dataset))
    if not members:
        raise ClaudeBatchInputError("dataset holds no file: give the output of a load. Nothing was written.")
    if len({member.key for member in members}) > 1:
        raise ClaudeBatchInputError(
            "dataset is of submissions with different keys: write each by a task of its own. Nothing was "
            "written."
        )
    counts = [member.rows for member in members]
    return Dataset(
        files=tuple(file for member in members for uri in member.files for file in _files(uri)),
        rows=None if None in counts else sum(count or 0 for count in counts),
        key=members[0].key,
        has_output_schema=all(member.has_output_schema for member in members),
    )


def _members(dataset: object) -> Iterator[Dataset]:
    if dataset is None:
        return
    if isinstance(dataset, str):
        is_file = dataset.endswith((".parquet", ".json"))
        yield Dataset(files=(dataset,)) if is_file else _of_folder(dataset)
    elif isinstance(dataset, Mapping):
        yield _of_output(dataset)
    elif isinstance(dataset, Iterable):
        for member in dataset:
            yield from _members(member)
    else:
        raise ClaudeBatchInputError(
            f"dataset is a {type(dataset).__name__}: give the output of a ClaudeBatchToParquetOperator, a "
            "manifest URI or Parquet files. Nothing was written."
        )


def _of_output(output: Mapping[object, object]) -> Dataset:
    manifest, files, rows = (output.get(name) for name in ("manifest", "files", "rows"))
    if not isinstance(files, list) or not files:
        raise ClaudeBatchInputError(
            "dataset names no files: give the output of a ClaudeBatchToParquetOperator. Nothing was written."
        )
    found = _of_manifest(manifest) if isinstance(manifest, str) else Dataset(files=())
    return Dataset(
        files=tuple(str(file) for file in files),
        rows=rows if isinstance(rows, int) else None,
        key=found.key,
        has_output_schema=found.has_output_schema,
    )


def _of_folder(uri: str) -> Dataset:
    """Take the folder of a submission, or one that a load publishes to."""
    folder = Folder.at(uri)
    if folder.exists(names.PLAN):
        return _of_manifest(uri)
    there = Destination.at(uri)
    for name in (there.manifest_name, there.name):
        if name is not None and folder.exists(name):
            return Dataset(files=(f"{uri.rstrip('/')}/{name}",))
    raise ClaudeBatchInputError(
        f"{uri} holds neither a submission nor a dataset of one. Nothing was written. Run the load first."
    )


def _of_manifest(uri: str) -> Dataset:
    folder = ManifestFolder.at(uri)
    plan, _ = require_plan(folder)
    receipt = folder.read_receipt()
    if receipt is None:
        raise ClaudeBatchInputError(
            f"{uri} is of a submission that was not loaded: run its load first. Nothing was written."
        )
    settings = plan.settings
    samples = (_SAMPLE,) if settings.samples_per_row > 1 else ()
    return Dataset(
        files=tuple(receipt.files),
        rows=receipt.rows,
        key=(*settings.key, *samples),
        has_output_schema=settings.output_schema is not None,
    )


def _files(uri: str) -> list[str]:
    """Return the files that a dataset's manifest names, or the one file that is no manifest."""
    if not uri.endswith(".json"):
        return [uri]
    parent, _, name = uri.rpartition("/")
    manifest = read_dataset_manifest(Folder.at(parent), name)
    if manifest is None:
        raise WarehouseError(
            f"{uri} is not there. Nothing was written. Run the load again, which pays nothing."
        )
    return [f"{parent}/{file.path}" for file in manifest.files]


def read_dataset(dataset: object, columns: Sequence[str] | None = None) -> pa.Table:
    """
    Return published rows, all in memory; ``.to_pandas()`` makes a DataFrame of them.

    Follows a dataset's manifest where there is one, so a dataset of several files is read whole and without
    files that were replaced.

    :param dataset: See :func:`to_dataset`.
    :param columns: Those that are read; ``None`` for all.
    :raises ClaudeBatchInputError: There is no such dataset.
    :raises WarehouseError: A file of it is not there.
    """
    import pyarrow.parquet as pq

    with local_files(to_dataset(dataset)) as paths:
        return pq.read_table(paths, columns=columns, partitioning=None)


@contextmanager
def local_files(dataset: Dataset) -> Iterator[list[Path]]:
    """
    Yield paths of the files on local disk, in order, under names that hold nothing of their own.

    What lies on an object store is fetched whole, and removed afterwards.

    :param dataset: As :func:`to_dataset` returns it.
    :raises WarehouseError: A file is not there.
    """
    with scratch_folder() as scratch:
        paths = []
        for index, uri in enumerate(dataset.files):
            path = scratch / f"part-{index:05d}.parquet"
            source = Folder.at(uri)
            try:
                if source.is_local:
                    path.symlink_to(source.root)
                    path.stat()
                else:
                    source.fs.get_file(source.root, str(path))
            except FileNotFoundError as error:
                raise WarehouseError(
                    f"{uri} is not there: a later load has replaced it, or somebody removed it. Nothing was "
                    "written. Run the load again, which pays nothing, and then this task."
                ) from error
            paths.append(path)
        yield paths
