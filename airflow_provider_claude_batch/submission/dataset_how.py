"""
How a dataset is laid out: sorted or not, partitioned or not, in files of which size, old ones kept how long.

Imports nothing that is slow: the arguments are checked when a Dag file is parsed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import ClaudeBatchInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A dataset is one object up to here: the largest that one S3 request puts or copies.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/copy-object.html, read 2026-11-22.
MAX_FILE_BYTES = 5 * 2**30

#: Files that were replaced stay this long, for readers that have begun to read them.
KEEP_OLD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PublishHow:
    """
    Layout of a dataset.

    :param key: Key columns of the rows, by which the gate names some of them.
    :param partition_by: Columns whose values become folders, ``column=value``; they stay in the files too.
    :param sort_by: Columns by which the rows are sorted, ascending, nulls last; within each partition.
    :param max_file_bytes: A file that has grown to this size is followed by another.
    :param keep_old: For how long files stay that no longer are the dataset.
    """

    key: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    max_file_bytes: int = MAX_FILE_BYTES
    keep_old: timedelta = KEEP_OLD

    @classmethod
    def of(
        cls,
        *,
        key: str | Sequence[str] = (),
        partition_by: str | Sequence[str] | None = None,
        sort_by: str | Sequence[str] | bool | None = None,
        max_file_bytes: int = MAX_FILE_BYTES,
        keep_old: timedelta = KEEP_OLD,
    ) -> PublishHow:
        """
        Read the arguments of a task.

        :param sort_by: Columns; ``True`` for the key.
        :raises ClaudeBatchInputError: They do not fit together.
        """
        key = _names(key)
        _require(sort_by is not True or bool(key), "sort_by=True sorts by the key, and there is none")
        _require(max_file_bytes > 0, f"max_file_bytes is {max_file_bytes}; it must be 1 or more")
        _require(keep_old >= timedelta(0), f"keep_old is {keep_old}; it cannot be negative")
        return cls(
            key=key,
            partition_by=_names(partition_by or ()),
            sort_by=key if sort_by is True else _names(sort_by or ()),
            max_file_bytes=max_file_bytes,
            keep_old=keep_old,
        )

    @property
    def order(self) -> tuple[str, ...]:
        """Columns by which the rows come: those of the partitions first; none where they stay as they are."""
        return tuple(dict.fromkeys((*self.partition_by, *self.sort_by)))


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    _require(len(set(names)) == len(names), f"a column is named twice: {', '.join(names)}")
    return names


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ClaudeBatchInputError(f"{otherwise}. Nothing was sent.")
