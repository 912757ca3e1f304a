"""The requests of a shard, read back from where they were written or, if they were taken, sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.lines import chunks_to_lines
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_claude_batch.core.manifest import Round, ShardRecord

_READ_BYTES = 1 << 20


def written_lines(folder: ManifestFolder, path: str) -> Iterator[bytes]:
    """
    Yield the request lines of one file of a manifest folder, as they are sent.

    :raises FileNotFoundError: It is not there.
    """
    import pyarrow as pa

    with folder.folder.open(path) as file:
        stream = pa.CompressedInputStream(pa.PythonFile(file), "zstd")
        yield from chunks_to_lines(iter(lambda: stream.read(_READ_BYTES), b""))


def request_lines(folder: ManifestFolder, record: Round, shard: ShardRecord) -> Iterator[tuple[str, bytes]]:
    """Yield id and ``params`` of each request of a shard, of where they were sent if they were taken."""
    path = names.requests_path(record.index, shard.index, record.identity)
    where = folder
    if shard.taken is not None:
        where = ManifestFolder.at(shard.taken.manifest)
        plan = where.read_plan()
        there = where.read_round(shard.taken.round_index, plan.identity) if plan is not None else None
        if there is None:
            return
        path = names.requests_path(shard.taken.round_index, shard.taken.shard_index, there.identity)
    try:
        for line in written_lines(where, path):
            front, _, params = line.partition(b'","params":')
            yield front.removeprefix(b'{"custom_id":"').decode(), params[:-1]
    except FileNotFoundError:
        return
