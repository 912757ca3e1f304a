"""Where a submission's manifest folder lies, and which generation of it a task instance works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import StagingError
from airflow_provider_claude_batch.submission.generations import generation_numbers
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.names import generation_name, safe_segment
from airflow_provider_claude_batch.submission.storage import Folder

#: Executors whose tasks all run on one host, aliased or named after the path of their module.
_SINGLE_HOST = frozenset({"LocalExecutor", "SequentialExecutor", "DebugExecutor"})


if TYPE_CHECKING:
    from airflow_provider_claude_batch.core.manifest import Plan, ShardRecord
    from airflow_provider_claude_batch.submission.receipt import TaskInstanceNames


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInstanceId:
    """
    What a submission is of: its tries share one folder. ``map_index`` is -1 where the task is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, ti: TaskInstanceNames) -> TaskInstanceId:
        """Take the names of a task instance as Airflow hands it to a task."""
        map_index = -1 if ti.map_index is None else ti.map_index
        return cls(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=map_index)


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
    :raises StagingError: The scheme or its connection is not known here, or the path is on one host of
        several.
    """
    segments = [safe_segment(name) for name in (ti.dag_id, ti.run_id, ti.task_id)]
    if ti.map_index >= 0:
        segments.append(str(ti.map_index))
    try:
        folder = Folder.at("/".join([root.rstrip("/"), *segments]))
    except Exception as error:
        # Whatever the file system of the scheme raises: a missing extra, a missing connection, a bad URI.
        raise StagingError(
            f"staging path {root}: {type(error).__name__}: {error}. Nothing was sent."
        ) from error
    _refuse_this_host_only(folder, root)
    return folder


def _refuse_this_host_only(folder: Folder, root: str) -> None:
    from airflow.providers.common.compat.sdk import conf

    executors = conf.get("core", "executor", fallback="LocalExecutor").split(",")
    others = [name for name in executors if name.rpartition(".")[2].strip() not in _SINGLE_HOST]
    is_shared = conf.getboolean("claude_batch", "staging_is_shared", fallback=False)
    if folder.is_local and others and not is_shared:
        raise StagingError(
            f"staging path {root} is on this host, and {', '.join(others)} may run a retry on another, "
            "which would find nothing there and pay again. Give an object store, or set [claude_batch] "
            "staging_is_shared where all hosts mount the path. Nothing was sent."
        )


def open_generation(
    folder: Folder, *, settings_digest: str, try_number: int, max_tries: int
) -> ManifestFolder:
    """
    Return the generation that a task instance works on.

    A retry continues the newest one. A new one is opened, and takes over what those before it have sent,
    where a person has cleared the finished task or made the run again, and where the author asks for
    something else and nothing of the newest was sent.

    :param folder: As :func:`submission_folder` returns it.
    :param settings_digest: Of what the author asks for now.
    :param try_number: Of the task instance.
    :param max_tries: Of the same; a person's *clear* raises it.
    """
    newest = _newest_generation(folder)
    current = ManifestFolder(folder.child(generation_name(newest)))
    plan = current.read_plan()
    if plan is None:
        return current
    if _is_closed(current, plan):
        # A successor was about to begin and did not come to its snapshot.
        return ManifestFolder(folder.child(generation_name(newest + 1)))
    is_run_again = try_number == 1
    is_asked_by_a_person = is_run_again or max_tries != plan.max_tries
    sent = _may_be_batches(current, plan)
    if not any(sent):
        is_over = is_asked_by_a_person or plan.settings_digest != settings_digest
    else:
        # A task that was cleared while it waits goes on: the same happens to max_tries then.
        pilot = current.read_pilot()
        is_at_its_end = _all_are_batches(current, plan) or (pilot is not None and pilot.refusal is not None)
        is_over = is_run_again or (is_asked_by_a_person and is_at_its_end)
    return ManifestFolder(folder.child(generation_name(newest + 1))) if is_over else current


def earlier_generations(current: ManifestFolder) -> list[ManifestFolder]:
    """
    Return the generations before one, newest first, that have a finished snapshot.

    :param current: As :func:`open_generation` returns it.
    """
    folder, name = current.folder.parent()
    before = [
        ManifestFolder(folder.child(generation_name(number)))
        for number in reversed(range(int(name.removeprefix("g"))))
    ]
    return [generation for generation in before if generation.read_plan() is not None]


def _newest_generation(folder: Folder) -> int:
    return max(generation_numbers(folder), default=0)


def _is_closed(folder: ManifestFolder, plan: Plan) -> bool:
    return any(
        sent.is_closed for shard in _to_be_sent(folder, plan) for sent, _ in folder.attempts(0, shard.index)
    )


def _to_be_sent(folder: ManifestFolder, plan: Plan) -> list[ShardRecord]:
    record = folder.read_round(0, plan.identity)
    return [shard for shard in (record.shards if record else []) if shard.requests]


def _all_are_batches(folder: ManifestFolder, plan: Plan) -> bool:
    return all(folder.read_batch(0, shard.index) is not None for shard in _to_be_sent(folder, plan))


def _may_be_batches(folder: ManifestFolder, plan: Plan) -> list[bool]:
    """Return for each shard that is to be sent whether it is, or may be, a batch."""
    return [_may_be_batch(folder, shard.index) for shard in _to_be_sent(folder, plan)]


def _may_be_batch(folder: ManifestFolder, shard: int) -> bool:
    if folder.read_batch(0, shard) is not None:
        return True
    return any(refused is None and not sent.is_closed for sent, refused in folder.attempts(0, shard))
