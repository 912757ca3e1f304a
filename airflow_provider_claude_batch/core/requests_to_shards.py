"""
Requests to shards: each small enough, in requests and in bytes, to become exactly one batch.

Pure arithmetic on sizes, so that a caller can write each request to disk as it comes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import MAX_BODY_BYTES, MAX_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: What stands around the requests in the body of a create; commas between them come on top.
BODY_START = b'{"requests":['
BODY_END = b"]}"
#: A shard is cut at up to one part in so many below the limit.
_SPREAD = 100

_ENVELOPE_BYTES = len(BODY_START) + len(BODY_END)


@dataclass(frozen=True, slots=True)
class Slice:
    """
    Requests ``start`` to ``stop`` (exclusive) of what was given, for one shard.

    :param shard_index: Number of the shard, from 0.
    """

    shard_index: int
    start: int
    stop: int


def body_bytes(request_count: int, payload_bytes: int) -> int:
    """
    Return the exact size of a create's body.

    :param request_count: Requests in the body, at least one.
    :param payload_bytes: Bytes of the requests alone, without commas.
    """
    return _ENVELOPE_BYTES + payload_bytes + request_count - 1


class ShardCutter:
    """
    Cut a stream of requests into shards, in order, filling each before the next begins.

    Holds a few numbers, whatever the length of the stream.

    :param max_requests: Requests in one shard.
    :param max_bytes: Bytes of one shard's body, commas and envelope included.
    :param first_requests: Requests of the first shard, where it is to be a small one.
    :param max_weight: Sum of the weights of one shard, where requests have weights; one request that weighs
        more is a shard of its own.
    :param seed: Where given, shards are cut at up to 1 % fewer requests, each at a number of its own: a batch
        whose answer is lost is found by its count, so counts had better not meet.
    """

    def __init__(
        self,
        *,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BODY_BYTES,
        first_requests: int | None = None,
        max_weight: int | None = None,
        seed: str | None = None,
    ) -> None:
        self._most = max_requests
        self._max_weight = max_weight
        self._first = first_requests
        self.max_bytes = max_bytes
        self._seed = seed
        self._index = 0
        self._max_requests = self._limit()
        self._count = 0
        self._payload = 0
        self._weight = 0
        self._weight = 0

    def cut(self, sizes: Sequence[int], weights: Sequence[int] = ()) -> Iterator[Slice]:
        """
        Say which shard each of the next requests belongs to.

        :param sizes: Bytes of the next requests, in order; 0 for one that is not sent and goes along.
        :param weights: Of each of them; none where they have no weight.
        :return: Slices that cover ``sizes``, in order. A shard is full when a slice of the next one comes.
        :raises ValueError: A single request does not fit in a shard.
        """
        if self._take_whole(sizes, sum(weights)):
            yield Slice(self._index, 0, len(sizes))
            return
        start = 0
        for position, size in enumerate(sizes):
            if not size:
                continue
            if body_bytes(1, size) > self.max_bytes:
                raise ValueError(f"a request of {size} bytes does not fit in a shard of {self.max_bytes}")
            weight = weights[position] if weights else 0
            if not self._has_room(size, weight):
                if position > start:
                    yield Slice(self._index, start, position)
                    start = position
                self._open_next()
            self._count += 1
            self._payload += size
            self._weight += weight
        if start < len(sizes):
            yield Slice(self._index, start, len(sizes))

    def _limit(self) -> int:
        """Return the requests of the shard that is open, at most."""
        if self._index == 0 and self._first:
            return min(self._first, self._most)
        if self._seed is None:
            return self._most
        digest = hashlib.sha256(f"{self._seed}-{self._index}".encode()).digest()
        return self._most - int.from_bytes(digest[:8]) % (self._most // _SPREAD + 1)

    def _take_whole(self, sizes: Sequence[int], weight: int) -> bool:
        count = self._count + len(sizes) - sizes.count(0)
        payload = self._payload + sum(sizes)
        if not sizes or count > self._max_requests or body_bytes(count, payload) > self.max_bytes:
            return False
        if self._is_too_heavy(weight):
            return False
        self._count, self._payload = count, payload
        self._weight += weight
        return True

    def _is_too_heavy(self, further: int) -> bool:
        return self._max_weight is not None and self._weight + further > self._max_weight

    def _has_room(self, size: int, weight: int) -> bool:
        return not self._count or (
            self._count < self._max_requests
            and not self._is_too_heavy(weight)
            and body_bytes(self._count + 1, self._payload + size) <= self.max_bytes
        )

    def _open_next(self) -> None:
        self._index += 1
        self._max_requests = self._limit()
        self._count = 0
        self._payload = 0
        self._weight = 0
