"""
The results of one ended batch as one stream of whole lines, whatever breaks on the way. Reading is free.

A stream that breaks off is opened again and goes on behind what has come; what comes again must be the same,
byte for byte. In the end, the lines are as many as the batch's own counts say.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_claude_batch.core.lines import chunks_to_blocks
from airflow_provider_claude_batch.core.result_lines import decoded_line
from airflow_provider_claude_batch.errors import (
    BatchNotEndedError,
    ClaudeBatchInputError,
    ResultsIncompleteError,
)
from airflow_provider_claude_batch.hooks.refusals import is_temporary, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from anthropic.types.messages import MessageBatch

    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook

_log = logging.getLogger(__name__)

#: Bytes of a block. Smaller ones cost time, larger ones memory.
_BLOCK_BYTES = 4_000_000

#: An escape that may be a lone surrogate, which no UTF-8 holds.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

#: Times in a row that a batch must be said not to be there.
_LOOKS = 3

#: Streams in a row that come to their end, bring no new line and are too short.
_SHORT_STREAMS = 3

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0

_KEPT = "They are kept by Anthropic for 29 days; a retry reads them again and pays nothing."


@dataclass(slots=True, kw_only=True)
class Patience:
    """
    How long one read goes on trying: at once, after a second, then twice as long each time, up to a minute.

    :param window_seconds: Nothing is tried again later than this after the last thing that went well.
    """

    window_seconds: float = 300.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _since: float | None = field(default=None, init=False)
    _pause: float = field(default=0.0, init=False)

    def renew(self) -> None:
        """Say that something went well."""
        self._since, self._pause = None, 0.0

    def wait(self, error: ResultsIncompleteError, *, asked_seconds: float | None) -> None:
        """
        Sleep until the next try.

        :param asked_seconds: What the API asks to wait, if it does.
        :raises ResultsIncompleteError: ``error``: the time is over.
        """
        now = self.clock()
        self._since = now if self._since is None else self._since
        wait = max(self._pause, asked_seconds or 0.0)
        if now - self._since + wait > self.window_seconds:
            raise error
        _log.warning("Results are read again in %.0f s, which is free: %s", wait, error)
        self.sleep(wait)
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)


def ended_batch(hook: ClaudeBatchHook, batch_id: str, *, patience: Patience) -> MessageBatch:
    """
    Return a batch whose results can be read.

    :raises BatchNotEndedError: It is still processing.
    :raises ClaudeBatchInputError: The connection's workspace has no such batch, or its results are gone.
    :raises ResultsIncompleteError: The API cannot be asked for longer than ``patience`` lasts.
    """
    batch = _retrieved(hook, batch_id, patience=patience)
    if batch.processing_status != "ended":
        raise BatchNotEndedError(
            f"Batch {batch.id} is {batch.processing_status}. It is left alone; a retry looks again."
        )
    if batch.archived_at is not None:
        raise ClaudeBatchInputError(
            f"The results of batch {batch.id} were removed by Anthropic on {batch.archived_at:%Y-%m-%d}, 29 "
            "days after its creation: what was paid for can no longer be read."
        )
    return batch


def _retrieved(hook: ClaudeBatchHook, batch_id: str, *, patience: Patience) -> MessageBatch:
    import anthropic

    absent = 0
    while True:
        try:
            batch = hook.retrieve_batch(batch_id)
        except anthropic.APIError as error:
            if not is_temporary(error):
                raise
            absent = absent + 1 if isinstance(error, anthropic.NotFoundError) else 0
            if absent == _LOOKS:
                raise ClaudeBatchInputError(
                    f"The API shows no batch {batch_id} to connection {hook.claude_conn_id}: it was deleted, "
                    "or is of another workspace. Nothing was changed."
                ) from None
            broken = _broken(batch_id, f"cannot be asked for ({type(error).__name__})")
            patience.wait(broken, asked_seconds=retry_after(error))
        else:
            patience.renew()
            return batch


def read_results(hook: ClaudeBatchHook, batch: MessageBatch, *, patience: Patience) -> Iterator[bytes]:
    """
    Yield the results of an ended batch in blocks of whole lines, each line once.

    Lazy: one block is in memory.

    :param batch: As :func:`ended_batch` returns it.
    :raises ResultsIncompleteError: In the end, there are not as many lines as the batch counts, or they come
        otherwise than before, or they cannot be read for longer than ``patience`` lasts.
    """
    told = batch.request_counts
    ended = told.succeeded + told.errored + told.canceled + told.expired
    seen = _Seen(batch.id)
    short = 0
    while True:
        lines_before = seen.lines
        cuts: list[Exception] = []
        for block in chunks_to_blocks(_unseen_chunks(hook, seen, cuts), block_bytes=_BLOCK_BYTES):
            if whole := seen.add(block):
                yield whole
        if seen.lines == ended:
            return
        what = f"hold {seen.lines} lines, and it says that {ended} requests ended"
        if cuts:
            what = f"broke off after {seen.lines} lines ({type(cuts[0]).__name__})"
        error = _broken(batch.id, what)
        if seen.lines > lines_before:
            patience.renew()
            short = 0
        short += not cuts
        if seen.lines > ended or short == _SHORT_STREAMS:
            raise error
        patience.wait(error, asked_seconds=retry_after(cuts[0]) if cuts else None)


def blocks_to_dicts(blocks: Iterable[bytes], *, batch_id: str) -> Iterator[dict[str, Any]]:
    """
    Yield what each line says.

    :raises ResultsIncompleteError: A line is no JSON object.
    """
    lines = (line for block in blocks for line in block.split(b"\n") if line)
    for number, line in enumerate(lines, 1):
        value = decoded_line(line)
        if not isinstance(value, dict):
            raise _broken(batch_id, f"hold something else than a result in line {number}")
        yield _without_surrogates(value) if _SURROGATE.search(line) else value


def _without_surrogates(value: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(value, ensure_ascii=False)
    cleaned: dict[str, Any] = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return cleaned


@dataclass(slots=True)
class _Seen:
    """What has come of a batch's results."""

    batch_id: str
    size: int = 0
    lines: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def unseen(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Leave out of a stream from its beginning what has come before."""
        left, before, again = self.size, self.digest.digest(), hashlib.sha256()
        for chunk in chunks:
            old, new = chunk[:left], chunk[left:]
            again.update(old)
            left -= len(old)
            if new:
                if again.digest() != before:
                    raise _broken(self.batch_id, f"are others than before in {self.lines} lines")
                yield new

    def add(self, block: bytes) -> bytes:
        """Return a block without a last line that is not whole."""
        end = block.rfind(b"\n") + 1
        whole = block if decoded_line(block[end:]) is not None else block[:end]
        self.size += len(whole)
        self.lines += sum(map(bool, whole.split(b"\n")))
        self.digest.update(whole)
        return whole


def _unseen_chunks(hook: ClaudeBatchHook, seen: _Seen, cuts: list[Exception]) -> Iterator[bytes]:
    """Yield what is new in the results, up to a cut, which is put into ``cuts``."""
    import anthropic
    import httpx2

    try:
        with hook.open_results(seen.batch_id) as chunks:
            yield from seen.unseen(chunks)
    except (httpx2.RequestError, anthropic.APIError) as error:
        if not is_temporary(error):
            raise
        cuts.append(error)


def _broken(batch_id: str, what: str) -> ResultsIncompleteError:
    return ResultsIncompleteError(f"The results of batch {batch_id} {what}. {_KEPT}")
