"""
The shards of a snapshot, written as the rows come: keys as Parquet, request lines as zstd-compressed JSONL.

One shard's two files are on local disk at a time, then they are put into the manifest folder.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.manifest import ShardRecord
from airflow_provider_claude_batch.core.requests_to_shards import BODY_END, BODY_START, body_bytes
from airflow_provider_claude_batch.submission import names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from airflow_provider_claude_batch.submission.storage import Folder


class ShardWriter:
    """
    Write one shard.

    :param local: An empty local folder.
    :param identity: Of the snapshot.
    :param keys_schema: Schema of the keys.
    """

    def __init__(
        self, local: Path, *, round_index: int, index: int, identity: str, keys_schema: pa.Schema
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._round_index = round_index
        self._index = index
        self._identity = identity
        self._keys_path = local / f"keys-{index}.parquet"
        self._requests_path = local / f"requests-{index}.jsonl.zst"
        self._keys = pq.ParquetWriter(self._keys_path, keys_schema, compression="zstd")
        self._requests = pa.CompressedOutputStream(pa.OSFile(str(self._requests_path), "wb"), "zstd")
        self._digest = hashlib.sha256(BODY_START)
        self._count = 0
        self._payload = 0

    def write(self, requests: Sequence[bytes], keys: pa.RecordBatch) -> None:
        """Append requests and their keys, in order; an empty request is one that is not sent."""
        self._keys.write_batch(keys)
        if not (sent := [request for request in requests if request]):
            return
        if self._count:
            self._digest.update(b",")
        self._digest.update(b",".join(sent))
        self._requests.write(b"\n".join(sent))
        self._requests.write(b"\n")
        self._count += len(sent)
        self._payload += sum(map(len, sent))

    def finish(self, folder: Folder) -> ShardRecord:
        """Put both files into the manifest folder and return what the round says of the shard."""
        self.close()
        self._digest.update(BODY_END)
        folder.put(self._keys_path, names.keys_path(self._round_index, self._index, self._identity))
        folder.put(self._requests_path, names.requests_path(self._round_index, self._index, self._identity))
        self._keys_path.unlink()
        self._requests_path.unlink()
        return ShardRecord(
            index=self._index,
            requests=self._count,
            body_bytes=body_bytes(self._count, self._payload),
            sha256=self._digest.hexdigest(),
        )

    def close(self) -> None:
        """Close both files; what was written stays in the local folder."""
        self._keys.close()
        self._requests.close()
