"""
``_manifest.json`` beside a dataset of several files: which files it is, and which it was.

It is replaced by one put, after the files are there: a reader that follows it sees old or new.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.core.manifest import to_json
from airflow_provider_claude_batch.errors import DatasetError

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow_provider_claude_batch.submission.storage import Folder

_log = logging.getLogger(__name__)

#: What follows the beginning of a prefix: the submission's identity and a digest of the files.
_PREFIX_END = r"-[0-9A-Za-z]+-[0-9a-f]{16}"

#: Of the manifest; readers refuse a number they do not know.
SCHEMA_VERSION = 1


class DatasetFile(msgspec.Struct, frozen=True, kw_only=True):
    """
    One file of a dataset.

    :param path: Relative to the folder of the manifest.
    :param rows: ``None`` for an object that is replaced in place, whose rows the object itself tells.
    :param bytes: The same.
    """

    path: str
    rows: int | None = None
    bytes: int | None = None


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """
    Files that were the dataset.

    :param prefix: Folder of the files, relative to the manifest's.
    :param replaced_at: Since when they are not any more.
    """

    prefix: str
    replaced_at: datetime


class DatasetManifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a dataset is.

    :param identity: Of the submission.
    :param columns: Arrow type of each column, in order.
    :param partition_by: Columns that the folders are named by; the files hold them too.
    :param prefix: Folder of the files; ``None`` for one object that is replaced in place.
    :param replaced: What was the dataset before and was not removed yet.
    """

    identity: str
    published_at: datetime
    columns: dict[str, str]
    files: list[DatasetFile]
    partition_by: list[str] = []
    prefix: str | None = None
    replaced: list[Replaced] = []
    schema_version: int = SCHEMA_VERSION


def read_dataset_manifest(folder: Folder, name: str) -> DatasetManifest | None:
    """
    Return a dataset's manifest, or ``None`` where there is none.

    :raises DatasetError: There is a file of that name, and it is not one of ours.
    """
    data = folder.read(name)
    if data is None:
        return None
    try:
        manifest = msgspec.json.decode(data, type=DatasetManifest)
    except ValueError as error:
        reason = f"it is not a manifest of a dataset: {error}"
    else:
        if manifest.schema_version == SCHEMA_VERSION:
            return manifest
        reason = f"it is of schema version {manifest.schema_version}, and this package knows {SCHEMA_VERSION}"
    raise DatasetError(
        f"{folder.uri}/{name}: {reason}. It is left as it is: nothing is published, and a retry pays for "
        "nothing."
    )


def replace_dataset_manifest(
    folder: Folder, name: str, new: DatasetManifest, *, stem: str, keep_old: timedelta
) -> None:
    """
    Make the files that a manifest names the dataset, and remove those that no longer are it since long.

    Doing it again changes nothing.

    :param stem: How every prefix of this dataset begins; nothing else in the folder is ever removed.
    :param keep_old: Age from which files that were the dataset are removed.
    :raises DatasetError: There is a file of that name, and it is not one of ours.
    """
    old = read_dataset_manifest(folder, name)
    replaced = [] if old is None else [entry for entry in old.replaced if entry.prefix != new.prefix]
    is_ours = re.compile(re.escape(stem) + _PREFIX_END)
    due = [entry for entry in replaced if new.published_at - entry.replaced_at >= keep_old]
    removed = [entry for entry in due if is_ours.fullmatch(entry.prefix) and _remove(folder, entry.prefix)]
    replaced = [entry for entry in replaced if entry not in removed]
    if old is not None and old.prefix is not None:
        if old.prefix != new.prefix:
            replaced.append(Replaced(prefix=old.prefix, replaced_at=new.published_at))
        elif old.files == new.files:
            new = msgspec.structs.replace(new, published_at=old.published_at)
    new = msgspec.structs.replace(new, replaced=replaced)
    if new != old:
        folder.write(name, to_json(new))


def _remove(folder: Folder, prefix: str) -> bool:
    """Remove a folder; a store that does not let us must not keep the rows from being published."""
    try:
        folder.fs.rm(f"{folder.root}/{prefix}", recursive=True)
    except FileNotFoundError:
        return True
    except OSError as error:
        _log.warning(
            "%s/%s no longer is the dataset and could not be removed: %s. The next load tries again.",
            folder.uri,
            prefix,
            type(error).__name__,
        )
        return False
    return True
