"""Where a submission's manifest folder lies, and which generation of it a task instance works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from airflow_provider_claude_batch.errors import StagingError
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.names import generation_name, safe_segment
from airflow_provider_claude_batch.submission.storage import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInstanceId:
    """
    What a submission is of: its tries share one folder. ``map_index`` is -1 where the task is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


def staging_root(staging_path: str | None) -> str:
    """
    Return the URI below which manifest folders lie.

    :param staging_path: The operator's argument; without it the provider config ``[claude_batch]
        staging_path``, and without that a folder under ``AIRFLOW_HOME``.
    """
    from airflow.configuration import AIRFLOW_HOME
    from airflow.providers.common.compat.sdk import conf

    configured = conf.get("claude_batch", "staging_path", fallback="")
    return staging_path or configured or str(Path(AIRFLOW_HOME) / "claude_batch")


def submission_folder(root: str, ti: TaskInstanceId) -> Folder:
    """
    Return the folder of all generations of one task instance.

    :param root: As :func:`staging_root` returns it.
    :raises StagingError: The scheme or its connection is not known here.
    """
    segments = [safe_segment(name) for name in (ti.dag_id, ti.run_id, ti.task_id)]
    if ti.map_index >= 0:
        segments.append(str(ti.map_index))
    try:
        return Folder.at("/".join([root.rstrip("/"), *segments]))
    except Exception as error:
        # Whatever the file system of the scheme raises: a missing extra, a missing connection, a bad URI.
        raise StagingError(
            f"staging path {root}: {type(error).__name__}: {error}. Nothing was sent."
        ) from error


def open_generation(folder: Folder, *, settings_digest: str) -> ManifestFolder:
    """
    Return the generation that a task instance works on.

    The newest one, so that a retry or a *clear* continues it and pays for nothing twice; but where all its
    shards have their batches, or none was ever sent, and the author has since asked for something else, a new
    one.

    :param folder: As :func:`submission_folder` returns it.
    :param settings_digest: Of what the author asks for now.
    """
    newest = _newest_generation(folder)
    current = ManifestFolder(folder.child(generation_name(newest)))
    plan = current.read_plan()
    if plan is None or plan.settings_digest == settings_digest or _is_half_sent(current):
        return current
    return ManifestFolder(folder.child(generation_name(newest + 1)))


def _newest_generation(folder: Folder) -> int:
    generations = [name for name in folder.names() if name.startswith("g") and name[1:].isdecimal()]
    return max((int(name[1:]) for name in generations), default=0)


def _is_half_sent(folder: ManifestFolder) -> bool:
    record = folder.read_round(0)
    shards = record.shards if record else []
    with_batch = [folder.read_batch(0, shard.index) is not None for shard in shards]
    if all(with_batch):
        return False
    return any(with_batch) or any(folder.attempts(0, shard.index) for shard in shards)
