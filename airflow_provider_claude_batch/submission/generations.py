"""The generations of one submission, side by side in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.submission.names import RECEIPT, generation_name

if TYPE_CHECKING:
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.storage import Folder


def generation_numbers(folder: Folder) -> list[int]:
    """Return the numbers of the generations that a submission's folder holds."""
    return [int(name[1:]) for name in folder.names() if name.startswith("g") and name[1:].isdecimal()]


def has_unpublished_successor(current: ManifestFolder) -> bool:
    """Return whether a later generation may still take answers from this one."""
    folder, name = current.folder.parent()
    if not (name.startswith("g") and name[1:].isdecimal()):
        return False
    return any(
        not folder.child(generation_name(number)).exists(RECEIPT)
        for number in generation_numbers(folder)
        if number > int(name[1:])
    )
