"""
The shards of a snapshot, written as the rows come: keys as Parquet, request lines as zstd-compressed JSONL.

One shard's two files are on local disk at a time, then they are put into the manifest folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.core.manifest import ShardRecord
from airflow_provider_claude_batch.core.requests_to_shards import BODY_END, BODY_START, body_bytes
from airflow_provider_claude_batch.core.worst_case import worst_case_usd
from airflow_provider_claude_batch.errors import CostCapError
from airflow_provider_claude_batch.submission import names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from airflow_provider_claude_batch.core.prices import PriceList
    from airflow_provider_claude_batch.core.requests_to_shards import ShardCutter
    from airflow_provider_claude_batch.submission.storage import Folder


#: Pico-dollars in a dollar: every price of a token is a whole number of them.
PICOS = 1_000_000_000_000


class _Params(msgspec.Struct):
    model: str = ""
    max_tokens: int = 0


class _Line(msgspec.Struct):
    params: _Params


_decode_line = msgspec.json.Decoder(_Line).decode


@dataclass(frozen=True, slots=True)
class Asked:
    """What every request of a submission asks for, where it is the same in all of them."""

    model: str
    max_tokens: int


class ShardWriter:
    """
    Write one shard.

    :param local: An empty local folder.
    :param identity: Of the snapshot.
    :param keys_schema: Schema of the keys.
    :param asked: ``None`` where each request is to be looked at.
    """

    def __init__(
        self,
        local: Path,
        *,
        round_index: int,
        index: int,
        identity: str,
        keys_schema: pa.Schema,
        asked: Asked | None = None,
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
        self._asked = asked
        self._max_output_tokens = 0
        self._worst_picos = 0
        self._models: set[str] = set()

    def write(self, requests: Sequence[bytes], keys: pa.RecordBatch, *, worst_picos: int = 0) -> None:
        """
        Append requests and their keys, in order; an empty request is one that is not sent.

        :param worst_picos: The most that the requests can cost, in pico-dollars.
        """
        self._worst_picos += worst_picos
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
        if self._asked is not None:
            self._models.add(self._asked.model)
            self._max_output_tokens += self._asked.max_tokens * len(sent)
            return
        for request in sent:
            params = _decode_line(request).params
            self._models.add(params.model)
            self._max_output_tokens += params.max_tokens

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
            max_output_tokens=self._max_output_tokens,
            models=sorted(self._models),
            worst_case_usd=f"{Decimal(self._worst_picos) / PICOS:f}" if self._worst_picos else None,
        )

    def close(self) -> None:
        """Close both files; what was written stays in the local folder."""
        self._keys.close()
        self._requests.close()


def worst_picos(request: bytes, prices: PriceList) -> int:
    """
    Return the most that a request can cost, in pico-dollars; 0 for one that is not sent.

    :raises CostCapError: There is no bound, so no cap could be kept.
    """
    if not request:
        return 0
    bound = worst_case_usd([request], prices)
    if bound.usd is None:
        raise CostCapError(
            f"max_cost_usd is given, and {bound.reason}: nothing says what a request may cost. Nothing was "
            "sent."
        )
    return int((bound.usd * PICOS).to_integral_value(ROUND_CEILING))


class ShardsWriter:
    """
    Write all shards of a round, in order, each put into the manifest folder as soon as it is full.

    :param folder: The manifest folder.
    :param local: An empty local folder.
    :param cutter: Says where one shard ends and the next begins.
    :param asked: ``None`` where each request is to be looked at.
    :param prices: Where there is a cap: each shard then says what it can cost at most.
    """

    def __init__(
        self,
        folder: Folder,
        local: Path,
        *,
        round_index: int,
        identity: str,
        keys_schema: pa.Schema,
        cutter: ShardCutter,
        asked: Asked | None = None,
        prices: PriceList | None = None,
    ) -> None:
        self._prices = prices
        self._folder = folder
        self._asked = asked
        self._local = local
        self._round_index = round_index
        self._identity = identity
        self._schema = keys_schema
        self._cutter = cutter
        self._index = 0
        self._open = self._next()

    def write(self, requests: Sequence[bytes], keys: pa.RecordBatch) -> Iterator[ShardRecord]:
        """Append requests and their keys; yields each shard that is full."""
        weights = [] if self._prices is None else [worst_picos(each, self._prices) for each in requests]
        for part in self._cutter.cut([len(request) for request in requests], weights):
            if part.shard_index > self._index:
                yield self._open.finish(self._folder)
                self._index = part.shard_index
                self._open = self._next()
            here = slice(part.start, part.stop)
            rows = keys.slice(part.start, part.stop - part.start)
            self._open.write(requests[here], rows, worst_picos=sum(weights[here]))

    def finish(self) -> ShardRecord:
        """Put the last shard into the manifest folder."""
        return self._open.finish(self._folder)

    def close(self) -> None:
        """Close the files of the shard that is open; what was written stays in the local folder."""
        self._open.close()

    def _next(self) -> ShardWriter:
        return ShardWriter(
            self._local,
            round_index=self._round_index,
            index=self._index,
            identity=self._identity,
            keys_schema=self._schema,
            asked=self._asked,
        )
