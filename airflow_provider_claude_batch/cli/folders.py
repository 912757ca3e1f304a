"""Folders that a person names: the staging root, and one submission's manifest folder."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.staging import staging_root
from airflow_provider_claude_batch.submission.storage import Folder

_ESCAPED = re.compile(rb"~([0-9A-F]{2})")
_CUT = re.compile(r"~[0-9a-f]{16}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskName:
    """
    Whose submission a folder is, as far as its path tells: long names are cut in it.

    :param map_index: -1 where the task is not mapped.
    :param generation: Number after ``g``.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    generation: int


def open_staging(staging_path: str | None) -> Folder:
    """
    Open the staging root that is given, or else the configured one.

    :raises ClaudeBatchInputError: The scheme or its connection is not known here.
    """
    return _open(staging_root(staging_path), "staging path")


def open_manifest(uri: str) -> ManifestFolder:
    """
    Open a manifest folder by its URI.

    :raises ClaudeBatchInputError: The scheme or its connection is not known here.
    """
    return ManifestFolder(_open(uri, "manifest"))


def _open(uri: str, what: str) -> Folder:
    try:
        return Folder.at(uri)
    except Exception as error:
        # Whatever the file system of the scheme raises: a missing extra, a missing connection, a bad URI.
        raise ClaudeBatchInputError(
            f"{what} {uri} cannot be opened: {type(error).__name__}: {error}"
        ) from error


def path_to_name(path: str) -> TaskName:
    """
    Return whose submission the manifest folder at ``path`` is.

    :param path: Path or URI that ends in ``dag/run/task[/map index]/gNN``.
    """
    segments = path.rstrip("/").split("/")
    generation = segments.pop()
    map_index = -1
    if segments and segments[-1].isdecimal():
        map_index = int(segments.pop())
    dag_id, run_id, task_id = (_unescaped(segment) for segment in ["", "", "", *segments][-3:])
    return TaskName(
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        generation=int(generation[1:]) if generation[1:].isdecimal() else 0,
    )


def _unescaped(segment: str) -> str:
    """Undo :func:`~..submission.names.safe_segment`, but for what was cut off."""
    whole = _CUT.sub("\N{HORIZONTAL ELLIPSIS}", segment)
    return _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), whole.encode()).decode(
        errors="replace"
    )
