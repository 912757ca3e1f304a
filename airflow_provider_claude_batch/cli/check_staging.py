"""Whether the staging root keeps the promise that nothing is paid twice: a store that every task shares."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_provider_claude_batch.cli.checks import Check, fail, ok
from airflow_provider_claude_batch.cli.folders import open_staging
from airflow_provider_claude_batch.errors import ClaudeBatchInputError, StagingError
from airflow_provider_claude_batch.submission.staging import TaskInstanceId, submission_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_claude_batch.submission.storage import Folder

_NAME = "staging"
_PROBE = b"claude-batch doctor"


def check_staging(staging_path: str | None) -> Iterator[Check]:
    """Open it, say whether all tasks share it, and write a probe, twice, which is removed."""
    try:
        root = open_staging(staging_path)
    except ClaudeBatchInputError as error:
        yield fail(_NAME, f"{error}: mend [claude_batch] staging_path, or install the extra of its scheme")
        return
    yield _check_shared(root)
    try:
        yield from _check_probe(root)
    except StagingError as error:
        yield fail(_NAME, f"{root.uri} cannot be written and read: {error}")


def _check_shared(root: Folder) -> Check:
    try:
        submission_folder(root.uri, TaskInstanceId(dag_id="doctor", run_id="doctor", task_id="doctor"))
    except StagingError as error:
        return fail("shared", str(error).removesuffix(" Nothing was sent."))
    if root.is_local:
        return ok("shared", f"{root.uri} is a path, and all tasks see it: one host, or staging_is_shared")
    return ok("shared", f"{root.uri} is an object store, which every host sees alike")


def _check_probe(root: Folder) -> list[Check]:
    probe = f"doctor-{uuid4().hex}.txt"
    try:
        try:
            return [_check_write(root, probe), _check_exclusive(root, probe)]
        finally:
            root.remove(probe)
    except Exception as error:
        # Whatever a store raises for a missing bucket, a missing right or a full disk.
        raise StagingError(f"{type(error).__name__}: {error}") from error


def _check_write(root: Folder, probe: str) -> Check:
    root.write_new(probe, _PROBE)
    if root.read(probe) == _PROBE and probe in root.names():
        return ok(_NAME, f"{root.uri} can be written, and shows a file right after")
    return fail(
        _NAME,
        f"{root.uri} does not show a file right after it was written: a retry could miss what was sent, and "
        "pay twice. Use a store with strong consistency",
    )


def _check_exclusive(root: Folder, probe: str) -> Check:
    try:
        root.write_new(probe, b"again")
    except FileExistsError:
        return ok("exclusive", "a file that is there is not created a second time")
    return fail(
        "exclusive",
        f"{root.uri} lets a second writer replace a file that must be created once: two tries of a task "
        "could each send a shard, and it is paid twice. Use a store that honours conditional writes, or a "
        "newer version of its fsspec package",
    )
