"""
No key twice: eight bytes a row while the rows pass, and a second look only where two of them are equal.

The hashes are of this process alone; what they point at is compared value by value before anything is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import RowError

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator, Sequence

    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder


def check_unique_keys(
    folder: ManifestFolder,
    hashes: array[int],
    *,
    identity: str,
    shard_count: int,
    key: Sequence[str],
    samples_per_row: int,
) -> None:
    """
    Raise where two rows have the same key.

    :param folder: Holds the keys of all shards already.
    :param hashes: Of every row's key, in the rows' order.
    :param identity: Of the snapshot.
    :param shard_count: Shards whose keys to read.
    :param key: Columns that identify a row.
    :param samples_per_row: Keys that each row has in the shards, one after the other.
    :raises RowError: Names the key and both rows.
    """
    suspects = _equal_hashes(hashes)
    if not suspects:
        return
    first_seen: dict[tuple[object, ...], int] = {}
    positions = [row * samples_per_row for row in suspects]
    for position, values in _keys_at(folder, positions, identity=identity, shard_count=shard_count, key=key):
        row = position // samples_per_row
        if values in first_seen:
            named = ", ".join(f"{name}={value}" for name, value in zip(key, values, strict=True))
            raise RowError(f"the key is the same as that of row {first_seen[values]}", row=row, key=named)
        first_seen[values] = row


def _equal_hashes(hashes: array[int]) -> list[int]:
    """Return the rows whose hash another row has too, in order."""
    import numpy as np

    values = np.frombuffer(hashes, dtype=np.int64) if hashes else np.empty(0, dtype=np.int64)
    in_order = np.sort(values)
    if not (in_order[1:] == in_order[:-1]).any():
        return []
    del in_order
    order = np.argsort(values, kind="stable")
    equal = values[order][1:] == values[order][:-1]
    return sorted({int(row) for row in order[1:][equal]} | {int(row) for row in order[:-1][equal]})


def _keys_at(
    folder: ManifestFolder, positions: Sequence[int], *, identity: str, shard_count: int, key: Sequence[str]
) -> Iterator[tuple[int, tuple[object, ...]]]:
    start = 0
    for shard in range(shard_count):
        keys = folder.read_keys(0, shard, identity).select(list(key))
        here = [position for position in positions if start <= position < start + keys.num_rows]
        for position in here:
            yield position, tuple(column[position - start].as_py() for column in keys.columns)
        start += keys.num_rows
