"""A publisher that is killed at each step: readers keep the old rows, and a retry makes the same bytes."""

import multiprocessing
import signal
from pathlib import Path

import pytest

from tests.provider.datasets import digests, publish_all, read_published
from tests.provider.publish_once import LAYOUTS, ROWS, publish_and_die, publish_new

#: Each publisher is a process of its own; what is slow to import is imported once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["airflow.sdk", "pyarrow.parquet", "tests.provider.publish_once"])
STEPS = {
    "object": ["dataset_files:rows_to_files", "storage:Folder.put", "storage:_beside", "storage:_sync"],
    "copied": ["publish:_copied", "storage:Folder.put", "storage:_beside", "storage:_sync"],
    "sorted": ["dataset_sort:rows_to_runs", "dataset_sort:merge_runs", "storage:Folder.put"],
    "partitioned": [
        "dataset_sort:merge_runs",
        "dataset_put:put_files",
        "dataset_put:_put_once",
        "dataset_manifest:replace_dataset_manifest",
        "storage:Folder.write",
        "storage:Folder.remove",
    ],
}


def kill_publisher(folder: Path, layout: str, step: str, nth: int = 1) -> None:
    process = PROCESSES.Process(target=publish_and_die, args=(str(folder), layout, step, nth))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def visible(folder: Path) -> dict[str, str]:
    """Return what a listing shows: a temporary file that a killed writer has left begins with a dot."""
    return {name: digest for name, digest in digests(folder).items() if not Path(name).name.startswith(".")}


def bodies(folder: Path) -> list[str]:
    return sorted(read_published(folder)["body"].to_pylist())


@pytest.mark.parametrize(
    ("layout", "step"), [(layout, step) for layout, steps in STEPS.items() for step in steps]
)
def test_a_killed_publisher_leaves_old_or_new_and_its_retry_makes_the_same_bytes(tmp_path, layout, step):
    for name in ("killed", "whole"):
        publish_all(tmp_path / name, ROWS["old"])
    kill_publisher(tmp_path / "killed", layout, step)
    versions = [sorted(found["body"] for found in rows) for rows in ROWS.values()]
    assert bodies(tmp_path / "killed") in versions
    for name in ("killed", "whole"):
        publish_new(str(tmp_path / name), layout)
    assert visible(tmp_path / "killed") == visible(tmp_path / "whole")


def test_a_publisher_that_is_killed_between_two_files_leaves_the_old_ones(tmp_path):
    publish_all(tmp_path, ROWS["old"], how=LAYOUTS["partitioned"])
    before = (tmp_path / "_manifest.json").read_bytes()
    kill_publisher(tmp_path, "partitioned", "storage:_sync", 4)
    assert (tmp_path / "_manifest.json").read_bytes() == before
    assert read_published(tmp_path).num_rows == len(ROWS["old"])
    publish_all(tmp_path, ROWS["new"], how=LAYOUTS["partitioned"])
    assert read_published(tmp_path).num_rows == len(ROWS["new"])
