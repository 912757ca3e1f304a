"""
Finished local files to the destination: as its one object, or below a prefix of their own.

What is there before stays whole until it is replaced by one put, of the object or of the manifest.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.submission.dataset_manifest import (
    DatasetFile,
    DatasetManifest,
    read_dataset_manifest,
    replace_dataset_manifest,
)
from airflow_provider_claude_batch.submission.storage import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from airflow_provider_claude_batch.submission.dataset_files import LocalFile
    from airflow_provider_claude_batch.submission.publish import Destination
    from airflow_provider_claude_batch.submission.storage import Folder

#: Files that are put at the same time.
_PUTS = 4


def put_object(
    file: LocalFile,
    destination: Destination,
    manifest: DatasetManifest,
    *,
    fence: Callable[[], None],
    keep_old: timedelta,
) -> None:
    """
    Put a file in place of the destination's one object.

    A manifest is written only where there is one, from a dataset of several files: it names the object from
    then on.

    :param fence: Raises where nothing is to be replaced any more.
    """
    if destination.manifest_name is not None:
        # One that is not ours is found before anything is replaced.
        has_manifest = read_dataset_manifest(destination.folder, destination.manifest_name) is not None
    fence()
    destination.folder.put(file.path, destination.name)
    if destination.manifest_name is not None and has_manifest:
        named = msgspec.structs.replace(manifest, files=[DatasetFile(path=destination.name)])
        _replace_manifest(destination, destination.manifest_name, named, keep_old=keep_old)


def put_files(
    files: Sequence[LocalFile],
    destination: Destination,
    manifest_name: str,
    manifest: DatasetManifest,
    *,
    fence: Callable[[], None],
    keep_old: timedelta,
) -> list[str]:
    """
    Put files below a prefix that no other content has, and name them in the manifest.

    Then the destination's one object, if there was one, is removed: it is not the dataset any more, and who
    still reads it is to find that out.

    :param fence: Raises where nothing is to be replaced any more; called when the files are there.
    :return: URIs of the files.
    """
    read_dataset_manifest(destination.folder, manifest_name)
    prefix = f"{_stem(destination)}-{manifest.identity}-{_digest(files)}"
    with ThreadPoolExecutor(_PUTS) as pool:
        list(pool.map(lambda file: _put_once(destination.folder, file, f"{prefix}/{file.name}"), files))
    named = [DatasetFile(path=f"{prefix}/{file.name}", rows=file.rows, bytes=file.bytes) for file in files]
    manifest = msgspec.structs.replace(manifest, prefix=prefix, files=named)
    fence()
    _replace_manifest(destination, manifest_name, manifest, keep_old=keep_old)
    destination.folder.remove(destination.name)
    return [f"{destination.folder.uri}/{file.path}" for file in named]


def _put_once(folder: Folder, file: LocalFile, path: str) -> None:
    """Put a file unless it is there, whole: its prefix says its content, and readers may be reading it."""
    target = f"{folder.root}/{path}"
    folder.fs.invalidate_cache(target.rpartition("/")[0])
    try:
        if folder.fs.info(target)["size"] == file.bytes:
            return
    except FileNotFoundError:
        pass
    folder.put(file.path, path)


def _replace_manifest(
    destination: Destination, name: str, manifest: DatasetManifest, *, keep_old: timedelta
) -> None:
    replace_dataset_manifest(destination.folder, name, manifest, stem=_stem(destination), keep_old=keep_old)


def _stem(destination: Destination) -> str:
    return destination.name.removesuffix(".parquet")


def _digest(files: Sequence[LocalFile]) -> str:
    """Return 16 digits that change with the content, the number and the names of the files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {file_sha256(file.path)}\n".encode())
    return digest.hexdigest()[:16]
