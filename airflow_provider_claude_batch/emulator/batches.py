"""
The batches: created, shown, listed, canceled, deleted, and answered in the background.

How far a batch has come is computed from the clock when somebody looks. Only two things take work: answering
its requests, once, after it was created, and writing down how it ended, when it is first seen to have ended.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.emulator.errors import ApiError, invalid_request
from airflow_provider_claude_batch.emulator.results import (
    Answering,
    StoppedError,
    results_path,
    write_answers,
    write_results,
)
from airflow_provider_claude_batch.emulator.store import Batch, Store
from airflow_provider_claude_batch.emulator.timeline import (
    SECONDS_TO_ARCHIVE,
    ending_of,
    finished_count,
)
from airflow_provider_claude_batch.emulator.usage import PromptCache
from airflow_provider_claude_batch.emulator.wire import encode, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from airflow_provider_claude_batch.emulator.clock import Clock
    from airflow_provider_claude_batch.emulator.faults import Faults
    from airflow_provider_claude_batch.emulator.settings import Settings

logger = logging.getLogger(__name__)

#: Longest that a look at a batch waits for answers that are due but not yet written.
_PATIENCE_SECONDS = 0.5


@dataclass(slots=True)
class Batches:
    """
    All batches of one emulator.

    :param settings: In force from now on; replaced when they are changed.
    """

    store: Store
    clock: Clock
    faults: Faults
    settings: Settings
    cache: PromptCache = field(default_factory=PromptCache)
    _stop: threading.Event = field(default_factory=threading.Event)
    _worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "emulator-answers"))
    _settling: dict[str, Future[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        noted = self.store.note("prompt_cache")
        if noted is not None:
            self.cache.expires_at = msgspec.json.decode(noted)
        for batch in self.store.open_batches():
            if batch.answered_at is None:
                self._submit(self._answer, batch.id)

    def close(self) -> None:
        """Stop answering; what is not answered yet will be when the emulator starts again."""
        self._stop.set()
        self._worker.shutdown(cancel_futures=True)

    def create(self, incoming: Path, **facts: object) -> Batch:
        """
        Accept the requests in ``incoming``; durable on return.

        :param facts: The fields of :class:`Batch` that the call decides.
        :raises ApiError: The processing queue is full.
        """
        batch = msgspec.convert(
            {
                "id": new_id("msgbatch"),
                "created_at": self.clock.now(),
                "seconds": self.settings.seconds_per_batch,
                **facts,
            },
            Batch,
        )
        self._check_queue(batch.request_count)
        faults = self.faults.take_for_batch()
        batch = msgspec.structs.replace(
            batch,
            seconds=None if any(fault.with_ == "never-ends" for fault in faults) else batch.seconds,
            line_faults=tuple(fault for fault in faults if fault.operation == "lines"),
        )
        self.store.accept(batch, incoming)
        self._submit(self._answer, batch.id)
        return batch

    async def find(self, batch_id: str, workspace: str | None) -> Batch:
        """
        Return a batch as it stands.

        :param workspace: Whose batches to look at; ``None`` for all.
        :raises ApiError: There is none.
        """
        batch = self.store.find(batch_id, workspace)
        if batch is None:
            raise ApiError(404, f"Message Batch {batch_id} not found")
        return (await self.settled([batch]))[0]

    async def page(
        self,
        workspace: str,
        *,
        limit: int,
        after_id: str | None = None,
        before_id: str | None = None,
        created_until: float | None = None,
    ) -> tuple[list[Batch], bool]:
        """
        Return a page of batches, newest first, and whether there are more in that direction.

        :param after_id: Only batches older than this one.
        :param before_id: Only batches newer than this one, the nearest first to be on the page.
        :param created_until: Only batches created by then.
        """
        if before_id is not None:
            than = self._place(before_id, workspace, "before_id")
            found = self.store.newer(workspace, than=than, limit=limit + 1, until=created_until)
            page = found[-limit:]
        else:
            start = None if after_id is None else self._place(after_id, workspace, "after_id")
            found = self.store.older(workspace, than=start, limit=limit + 1, until=created_until)
            page = found[:limit]
        return await self.settled(page), len(found) > limit

    async def cancel(self, batch_id: str, workspace: str) -> Batch:
        """Start to cancel a batch; one that is being canceled stays as it is."""
        batch = await self.find(batch_id, workspace)
        if batch.ended_at is not None:
            raise ApiError(
                self.settings.undue_cancel_status,
                f"Message Batch {batch_id} has ended and cannot be canceled.",
            )
        if batch.cancel_initiated_at is not None:
            return batch
        return self.store.change(
            batch_id,
            cancel_initiated_at=self.clock.now(),
            seconds_to_cancel=self.settings.seconds_to_cancel,
        )

    async def delete(self, batch_id: str, workspace: str) -> None:
        """Delete a batch that has ended; its place in the order and on the bill stays."""
        batch = await self.find(batch_id, workspace)
        if batch.ended_at is None:
            raise ApiError(
                self.settings.undue_delete_status,
                f"Message Batch {batch_id} is still being processed. Cancel it first to delete it.",
            )
        self.store.change(batch_id, is_deleted=True)
        self.store.remove_files(batch_id)

    async def results(self, batch_id: str, workspace: str) -> Path:
        """Return the file with the results of a batch."""
        batch = await self.find(batch_id, workspace)
        if batch.ended_at is None:
            raise ApiError(
                self.settings.early_results_status,
                f"Results of Message Batch {batch_id} are not available; it has not ended.",
            )
        if self.is_archived(batch):
            raise ApiError(404, f"Results of Message Batch {batch_id} are no longer available.")
        return results_path(self.store.batch_folder(batch_id))

    async def every_batch(self) -> list[Batch]:
        """Return all batches of all workspaces but the deleted ones, newest first."""
        return await self.settled(batch for batch in self.store.every_batch() if not batch.is_deleted)

    def is_archived(self, batch: Batch) -> bool:
        """Whether the results of ``batch`` are no longer kept."""
        return self.clock.now() >= batch.created_at + SECONDS_TO_ARCHIVE

    async def settled(self, batches: Iterable[Batch]) -> list[Batch]:
        """Return the records, with those ended that are due; waits a moment for unwritten answers."""
        batches = list(batches)
        due = [batch.id for batch in batches if batch.ended_at is None and self._is_due(batch)]
        if not due:
            return batches
        futures = [self._settle_soon(batch_id) for batch_id in due]
        await asyncio.to_thread(wait, futures, _PATIENCE_SECONDS)
        return [self.store.find(batch.id) or batch for batch in batches]

    def _is_due(self, batch: Batch) -> bool:
        ending = ending_of(batch)
        return ending is not None and self.clock.now() >= ending.ended_at

    def _settle_soon(self, batch_id: str) -> Future[None]:
        future = self._settling.get(batch_id)
        if future is None:
            future = self._settling[batch_id] = self._submit(self._settle, batch_id)
            # May run at once, and in the worker's thread: the dict is not asked again.
            future.add_done_callback(lambda _: self._settling.pop(batch_id, None))
        return future

    def _submit(self, work: Callable[[str], None], batch_id: str) -> Future[None]:
        future = self._worker.submit(work, batch_id)
        future.add_done_callback(_log_failure)
        return future

    def _answer(self, batch_id: str) -> None:
        batch = self.store.find(batch_id)
        if batch is None:
            return
        answering = Answering(self.cache, self.settings.cache_hit_rate, self._stop)
        try:
            tally = write_answers(batch, self.store.batch_folder(batch_id), answering)
        except StoppedError:
            return
        now = self.clock.now()
        self.cache.drop_expired(now)
        self.store.write_note("prompt_cache", encode(self.cache.expires_at))
        self.store.change(batch_id, answered_at=now, counts=tally.counts, usage=tally.usage)

    def _settle(self, batch_id: str) -> None:
        batch = self.store.find(batch_id)
        if batch is None or batch.answered_at is None or batch.ended_at is not None:
            return
        ending = ending_of(batch)
        if ending is None:
            return
        tally = write_results(batch, self.store.batch_folder(batch_id), ending)
        changes = {} if tally is None else {"counts": tally.counts, "usage": tally.usage}
        self.store.change(batch_id, ended_at=max(ending.ended_at, batch.answered_at), **changes)

    def _check_queue(self, request_count: int) -> None:
        now = self.clock.now()
        queued = sum(
            batch.request_count - finished_count(batch, now)
            for batch in self.store.open_batches()
            if not self._is_due(batch)
        )
        allowed = self.settings.queued_requests_allowed
        if queued + request_count > allowed:
            raise ApiError(
                429,
                f"This request would exceed your organization's limit of {allowed} batch requests in the "
                f"processing queue; {queued} are queued.",
                headers={"retry-after": "60"},
            )

    def _place(self, batch_id: str, workspace: str, name: str) -> int:
        place = self.store.sequence(batch_id, workspace)
        if place is None:
            raise invalid_request(f"{name}: Message Batch {batch_id} not found")
        return place


def _log_failure(future: Future[None]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        logger.error("A batch could not be answered", exc_info=error)
