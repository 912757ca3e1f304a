"""The generations of one submission, side by side in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import GenerationClosedError
from airflow_provider_claude_batch.submission.names import PLAN, RECEIPT, generation_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.storage import Folder


def generation_numbers(folder: Folder) -> list[int]:
    """Return the numbers of the generations that a submission's folder holds."""
    return [number for name in folder.names() if (number := _number(name)) is not None]


def _number(name: str) -> int | None:
    return int(name[1:]) if name.startswith("g") and name[1:].isdecimal() else None


def is_told(current: ManifestFolder) -> bool:
    """Return whether a receipt tells what a generation cost: its own, or that of a later one."""
    return current.folder.exists(RECEIPT) or any(
        later.exists(RECEIPT) for later in _later_generations(current)
    )


def untold_generations(current: ManifestFolder) -> Iterator[Folder]:
    """Yield the generations before one, newest first, that no receipt before its own tells the cost of."""
    folder, name = current.folder.parent()
    own = _number(name)
    for number in sorted(generation_numbers(folder), reverse=True) if own is not None else ():
        earlier = folder.child(generation_name(number))
        if number < (own or 0):
            if earlier.exists(RECEIPT):
                return
            yield earlier


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
    own = _number(name)
    if own is None:
        return []
    return [folder.child(generation_name(number)) for number in generation_numbers(folder) if number > own]
