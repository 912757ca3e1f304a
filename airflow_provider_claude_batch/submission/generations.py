"""The generations of one submission, side by side in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import GenerationClosedError
from airflow_provider_claude_batch.submission.names import PLAN, RECEIPT, generation_name

if TYPE_CHECKING:
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.storage import Folder


def generation_numbers(folder: Folder) -> list[int]:
    """Return the numbers of the generations that a submission's folder holds."""
    return [int(name[1:]) for name in folder.names() if name.startswith("g") and name[1:].isdecimal()]


def has_unpublished_successor(current: ManifestFolder) -> bool:
    """Return whether a later generation may still take answers from this one."""
    return any(not later.exists(RECEIPT) for later in _later_generations(current))


def require_newest(current: ManifestFolder) -> None:
    """
    Make sure that no later generation has a snapshot: its rows are the ones that are asked for now.

    :raises GenerationClosedError: One has.
    """
    newer = [later.uri for later in _later_generations(current) if later.exists(PLAN)]
    if newer:
        raise GenerationClosedError(
            f"{current.uri} is not published: the task was cleared or its run made again, and {newer[-1]} is "
            "the submission now. The destination keeps what it had. What is answered is paid for and stays; "
            "the load of the later one publishes."
        )


def _later_generations(current: ManifestFolder) -> list[Folder]:
    folder, name = current.folder.parent()
    if not (name.startswith("g") and name[1:].isdecimal()):
        return []
    return [
        folder.child(generation_name(number))
        for number in generation_numbers(folder)
        if number > int(name[1:])
    ]
