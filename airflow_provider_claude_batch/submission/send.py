"""
Shards to batches: each shard becomes exactly one, and what is known of it is on record before money is spent.

Order of one send: the newest batch of the workspace is noted, the whole body but its last byte goes out, the
``sent`` record is written exclusively, the last byte goes out, the batch's id is written. A shard with a
``sent`` record and no answer is never posted again here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.lines import lines_to_chunks
from airflow_provider_claude_batch.core.manifest import BatchRecord, Refused, Round, Sent, ShardRecord
from airflow_provider_claude_batch.core.requests_to_shards import BODY_END, BODY_START
from airflow_provider_claude_batch.errors import (
    CreateRefusedError,
    PartlySentError,
    SubmissionUncertainError,
)
from airflow_provider_claude_batch.hooks.batch_body import BatchBody
from airflow_provider_claude_batch.submission import names

if TYPE_CHECKING:
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

Clock = Callable[[], datetime]

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SentShard:
    """
    A shard and its batch.

    :param is_new: The batch was created by this call, not found on record.
    """

    shard: ShardRecord
    batch: BatchRecord
    is_new: bool


def send_shards(
    folder: ManifestFolder,
    record: Round,
    hook: ClaudeBatchHook,
    *,
    betas: Sequence[str] = (),
    try_number: int,
    clock: Clock,
) -> Iterator[SentShard]:
    """
    Make sure that every shard of a round has its batch, in order; yields each as soon as it has.

    A retry continues where the last try stopped: a shard with a batch on record is not sent.

    :param folder: Of the submission.
    :param record: The round.
    :param betas: Values of the header ``anthropic-beta``.
    :param try_number: Of the task instance, for the record.
    :param clock: Returns the time, with a zone.
    :raises CreateRefusedError: The API refused a shard, or its body did not go out whole.
    :raises PartlySentError: The same, and shards before it are batches already.
    :raises SubmissionUncertainError: A shard was sent and its answer is not known.
    """
    paid: list[str] = []
    for shard in record.shards:
        if not shard.requests:
            continue
        known = folder.read_batch(record.index, shard.index)
        if known is not None:
            paid.append(known.batch_id)
            yield SentShard(shard, known, is_new=False)
            continue
        attempt = _next_attempt(folder, record, shard)
        try:
            batch = _send(
                folder,
                record,
                shard,
                hook,
                betas=betas,
                attempt=attempt,
                try_number=try_number,
                clock=clock,
            )
        except CreateRefusedError as error:
            if not paid:
                raise
            raise PartlySentError(
                f"Shard {shard.index} was not accepted, and {len(paid)} before it are batches that go on "
                f"and are billed: {', '.join(paid)}. A retry sends what is left. {error}"
            ) from error
        paid.append(batch.batch_id)
        yield SentShard(shard, batch, is_new=True)


def _next_attempt(folder: ManifestFolder, record: Round, shard: ShardRecord) -> int:
    attempts = folder.attempts(record.index, shard.index)
    if attempts and attempts[-1][1] is None:
        sent = attempts[-1][0]
        raise SubmissionUncertainError(
            f"Shard {shard.index} ({shard.requests} requests) was sent at {sent.sent_at.isoformat()} and "
            f"its answer was never recorded, so it may be a batch, newer than {sent.cursor or 'any other'}, "
            f"with {sent.request_count} requests. It is not sent again. Manifest: {folder.uri}"
        )
    return len(attempts) + 1


def _send(
    folder: ManifestFolder,
    record: Round,
    shard: ShardRecord,
    hook: ClaudeBatchHook,
    *,
    betas: Sequence[str],
    attempt: int,
    try_number: int,
    clock: Clock,
) -> BatchRecord:
    cursor = hook.newest_batch_id()

    def commit() -> None:
        sent = Sent(
            attempt=attempt,
            cursor=cursor,
            request_count=shard.requests,
            sent_at=clock(),
            try_number=try_number,
        )
        folder.write_sent(record.index, shard.index, sent)

    body = BatchBody(
        lambda: _body_chunks(folder, record, shard),
        size=shard.body_bytes,
        sha256=shard.sha256,
        before_last_byte=commit,
    )
    try:
        created = hook.create_batch(body, betas=betas)
    except CreateRefusedError as error:
        if body.is_committed:
            folder.write_refused(record.index, shard.index, _refusal(error, attempt=attempt, now=clock()))
        raise
    except FileExistsError as error:
        raise SubmissionUncertainError(
            f"Shard {shard.index} is being sent by another process, which recorded attempt {attempt} first. "
            "This one stopped before its last byte: it sent nothing and nothing is billed for it. Manifest: "
            f"{folder.uri}"
        ) from error
    batch = BatchRecord(batch_id=created.id, known_by="answered", created_at=created.created_at)
    try:
        folder.write_batch(record.index, shard.index, batch)
    except Exception as error:
        # Whatever the store raises: the id of a paid batch must not be lost with it.
        raise SubmissionUncertainError(
            f"Shard {shard.index} is batch {created.id}, and that could not be written to {folder.uri}: "
            f"{type(error).__name__}: {error}. The batch goes on; it is not sent again."
        ) from error
    return batch


def _refusal(error: CreateRefusedError, *, attempt: int, now: datetime) -> Refused:
    return Refused(
        attempt=attempt,
        status_code=error.status_code,
        error_type=error.error_type,
        request_id=error.request_id,
        refused_at=now,
    )


def _body_chunks(folder: ManifestFolder, record: Round, shard: ShardRecord) -> Iterator[bytes]:
    import pyarrow as pa

    with folder.folder.open(names.requests_path(record.index, shard.index, record.identity)) as file:
        stream = pa.CompressedInputStream(pa.PythonFile(file), "zstd")
        chunks = iter(lambda: stream.read(_READ_BYTES), b"")
        yield from lines_to_chunks(chunks, start=BODY_START, end=BODY_END)
