"""
The body of one create, streamed from the snapshot, with its last byte held back until the caller says so.

The API accepts a batch only when its body is whole, so the last byte is the commit: what must be on record
before money can be spent is written before that byte goes out.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import SnapshotChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class BatchBody:
    """
    An iterable of bytes that the HTTP client sends as it goes.

    :param open_chunks: Opens the body from its beginning.
    :param size: Exact bytes of the whole body.
    :param sha256: Of the whole body; the last byte is withheld from a body that is another.
    :param before_last_byte: Is called once, when everything but the last byte has been handed over.
    """

    def __init__(
        self,
        open_chunks: Callable[[], Iterable[bytes]],
        *,
        size: int,
        sha256: str,
        before_last_byte: Callable[[], None],
    ) -> None:
        self._open_chunks = open_chunks
        self.size = size
        self._sha256 = sha256
        self._before_last_byte = before_last_byte
        self.is_committed = False
        self.failure: Exception | None = None
        self._last_byte = b""

    def __iter__(self) -> Iterator[bytes]:
        if self.is_committed:
            raise RuntimeError("the body was sent already; sending it again would be a second batch")
        try:
            yield from self._all_but_the_last_byte()
            self._before_last_byte()
        except Exception as error:
            # The SDK reports whatever a body raises as a lost connection; the caller needs the error itself.
            self.failure = error
            raise
        self.is_committed = True
        yield self._last_byte

    def _all_but_the_last_byte(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        sent = 0
        held = b""
        for chunk in self._open_chunks():
            digest.update(chunk)
            sent += len(chunk)
            if held:
                yield held
            held = chunk
        if sent != self.size or digest.hexdigest() != self._sha256:
            raise SnapshotChangedError(
                f"the snapshot holds {sent} bytes that are not the {self.size} it was planned with. The "
                "batch was not accepted and nothing is billed for it."
            )
        if len(held) > 1:
            yield held[:-1]
        self._last_byte = held[-1:]
