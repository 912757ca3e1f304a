"""
Shards to batches: each shard becomes exactly one, and what is known of it is on record before money is spent.

Order of one send: the newest batch of the workspace is noted, the whole body but its last byte goes out, the
``sent`` record is written exclusively, the last byte goes out, the batch's id is written. A shard with a
``sent`` record and no answer is looked for, never posted to find out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.lines import lines_to_chunks
from airflow_provider_claude_batch.core.manifest import BatchRecord, Plan, Refused, Round, Sent, ShardRecord
from airflow_provider_claude_batch.core.requests_to_shards import BODY_END, BODY_START
from airflow_provider_claude_batch.core.resume_decision import queue_room
from airflow_provider_claude_batch.errors import (
    CreateRefusedError,
    ManifestUnreadableError,
    SubmissionUncertainError,
)
from airflow_provider_claude_batch.hooks.batch_body import BatchBody
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.pauses import Pause, merge_pauses, rate_limit_pause
from airflow_provider_claude_batch.submission.search import Clock, Search
from airflow_provider_claude_batch.submission.send_errors import other_process, partly_sent, withheld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from airflow_provider_claude_batch.core.resume_decision import QueueRoom, ResumeDecision
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.hooks.listing import Listing

#: Says before a shard is sent what has to be waited for first, or ``None``; raises where it must not be sent.
Admit = Callable[[Round, ShardRecord], "Pause | None"]

_READ_BYTES = 1 << 20

#: Part of the grace that may pass between the ``sent`` record and the last byte. A process that was stopped
#: in between and wakes later must not send it: another may have.
_LATEST_LAST_BYTE = 4

_LOOK_AGAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SentShard:
    """
    A shard and its batch.

    :param is_new: The batch was created or found by this call, not read from the record.
    :param queued_requests: In the workspace's queue with it, whoever sent them; ``None`` where nobody looked.
    """

    shard: ShardRecord
    batch: BatchRecord
    is_new: bool
    queued_requests: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRules:
    """
    What the deployment decides about sending.

    :param grace: How long after an attempt its batch may first be seen in the list.
    :param max_queued_requests: Requests that may be in the workspace's processing queue.
    """

    grace: timedelta
    max_queued_requests: int


def send_shards(
    folder: ManifestFolder,
    plan: Plan,
    record: Round,
    hook: ClaudeBatchHook,
    *,
    rules: SendRules,
    try_number: int,
    clock: Clock,
    admit: Admit | None = None,
) -> Iterator[SentShard | Pause]:
    """
    Make sure that every shard of a round has its batch, in order; yields each as soon as it has.

    A retry continues where the last try stopped: a shard with a batch on record is not sent, one whose answer
    is lost is looked for. Where that needs time, or the queue has no room, the rest that can be sent is sent,
    and the last thing yielded is a pause: after it, call again.

    :param folder: Of the submission.
    :param record: The round.
    :param try_number: Of the task instance, for the record.
    :param clock: Returns the time, with a zone.
    :param admit: Is asked before each shard that would be sent.
    :raises CreateRefusedError: The API refused a shard, or its body did not go out whole.
    :raises PartlySentError: The same, and shards before it are batches already.
    :raises SubmissionUncertainError: Another process is sending, or only a person can tell what a lost answer
        was.
    :raises OtherAccountError: The connection's key is of another workspace than the plan.
    """
    search = Search(folder=folder, plan=plan, record=record, hook=hook, grace=rules.grace, clock=clock)
    sender = _Sender(search=search, rules=rules, try_number=try_number, admit=admit)
    if any(shard.requests or shard.taken for shard in record.shards):
        search.check_account()
    pauses: list[Pause] = []
    for shard in record.shards:
        if not shard.requests and shard.taken is None:
            continue
        known = folder.read_batch(record.index, shard.index) or _taken_batch(folder, record, shard)
        step = SentShard(shard, known, is_new=False) if known is not None else sender.send_or_find(shard)
        if isinstance(step, SentShard):
            yield step
            continue
        pauses.append(step)
        if step.holds_the_rest:
            break
    if pauses:
        yield merge_pauses(pauses)


@dataclass(slots=True, kw_only=True)
class _Sender:
    search: Search
    rules: SendRules
    try_number: int
    admit: Admit | None

    def send_or_find(self, shard: ShardRecord) -> SentShard | Pause:
        decision, listing = self.search.decide(shard)
        if decision.action == "adopt":
            return self._found(shard)
        if decision.action == "wait":
            return search_pause(shard, decision, listing)
        return self._send(shard, listing, attempt=decision.attempt)

    def _found(self, shard: ShardRecord) -> SentShard:
        batch = self.search.folder.read_batch(self.search.record.index, shard.index)
        if batch is None:
            raise SubmissionUncertainError(
                f"The record of shard {shard.index} vanished. A retry looks again."
            )
        return SentShard(shard, batch, is_new=True)

    def _send(self, shard: ShardRecord, listing: Listing, *, attempt: int) -> SentShard | Pause:
        from anthropic import APIError

        if (pause := self._pause_before(shard, listing)) is not None:
            return pause
        try:
            batch = self._post(shard, listing, attempt=attempt)
        except CreateRefusedError as error:
            if error.is_temporary and error.status_code:
                return rate_limit_pause(error, attempt=attempt)
            if paid := sorted(self.search.claimed()):
                raise partly_sent(shard, paid, error) from error
            raise
        if batch is None:
            try:
                decision, listing = self.search.decide(shard)
            except APIError:
                # The network that lost the answer may be down still: the batch is looked for later.
                return Pause.for_a_lost_answer(shard, batch_ids=(), seconds=_LOOK_AGAIN_SECONDS)
            if decision.action == "adopt":
                return self._found(shard)
            return search_pause(shard, decision, listing)
        return SentShard(
            shard, batch, is_new=True, queued_requests=self._room(shard, listing).queued + shard.requests
        )

    def _room(self, shard: ShardRecord, listing: Listing) -> QueueRoom:
        return queue_room(
            listing.batches,
            request_count=shard.requests,
            max_queued_requests=self.rules.max_queued_requests,
        )

    def _pause_before(self, shard: ShardRecord, listing: Listing) -> Pause | None:
        if self.admit is not None and (pause := self.admit(self.search.record, shard)) is not None:
            return pause
        room, most = self._room(shard, listing), self.rules.max_queued_requests
        return None if room.has_room else Pause.for_the_queue(room, shard, max_queued_requests=most)

    def _post(self, shard: ShardRecord, listing: Listing, *, attempt: int) -> BatchRecord | None:
        """Create the batch; ``None`` where the whole body went out and no answer came."""
        folder, index = self.search.folder, self.search.record.index
        recorded = False

        def commit() -> None:
            nonlocal recorded
            sent = self._sent(shard, listing, attempt=attempt)
            folder.write_sent(index, shard.index, sent)
            recorded = True
            if self.search.api_now() - sent.sent_at > self.rules.grace / _LATEST_LAST_BYTE:
                raise withheld(shard)

        body = BatchBody(
            lambda: _body_chunks(folder, self.search.record, shard),
            size=shard.body_bytes,
            sha256=shard.sha256,
            before_last_byte=commit,
        )
        try:
            created = self.search.hook.create_batch(body, betas=self.search.plan.settings.betas)
        except CreateRefusedError as error:
            if recorded:
                folder.write_refused(
                    index, shard.index, _refusal(error, attempt=attempt, now=self.search.api_now())
                )
            raise
        except FileExistsError as error:
            raise other_process(shard, attempt, folder) from error
        except SubmissionUncertainError:
            return None
        batch = BatchRecord(batch_id=created.id, known_by="answered", created_at=created.created_at)
        _write_batch(folder, index, shard, batch)
        return batch

    def _sent(self, shard: ShardRecord, listing: Listing, *, attempt: int) -> Sent:
        return Sent(
            attempt=attempt,
            cursor=listing.cursor,
            request_count=shard.requests,
            looked_at=listing.now,
            sent_at=self.search.api_now(),
            try_number=self.try_number,
            nonce=secrets.token_hex(8),
        )


def _taken_batch(folder: ManifestFolder, record: Round, shard: ShardRecord) -> BatchRecord | None:
    """Put the batch whose answers a shard takes on its own record too, and return it."""
    if shard.taken is None:
        return None
    source = ManifestFolder.at(shard.taken.manifest)
    batch = source.read_batch(shard.taken.round_index, shard.taken.shard_index)
    if batch is None:
        raise ManifestUnreadableError(
            f"{shard.taken.manifest} has no batch on record for shard {shard.taken.shard_index}, whose "
            f"answers {folder.uri} takes. Nothing was sent again."
        )
    taken = BatchRecord(batch_id=batch.batch_id, known_by=batch.known_by, created_at=batch.created_at)
    folder.write_batch(record.index, shard.index, taken)
    return taken


def _write_batch(folder: ManifestFolder, round_index: int, shard: ShardRecord, batch: BatchRecord) -> None:
    try:
        folder.write_batch(round_index, shard.index, batch)
    except Exception as error:
        # Whatever the store raises: the id of a paid batch must not be lost with it.
        raise SubmissionUncertainError(
            f"Shard {shard.index} is batch {batch.batch_id}, and that could not be written to {folder.uri}: "
            f"{type(error).__name__}: {error}. The batch goes on; a retry looks for it first."
        ) from error


def search_pause(shard: ShardRecord, decision: ResumeDecision, listing: Listing) -> Pause:
    """Return what to wait for where the search for a lost answer says ``wait``."""
    seconds = None if decision.action == "wait" else 0.0
    if decision.until is not None:
        seconds = (decision.until - listing.now).total_seconds()
    return Pause.for_a_lost_answer(shard, batch_ids=decision.batch_ids, seconds=seconds)


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
