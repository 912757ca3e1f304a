"""
The trigger that waits for batches in the triggerer process.

Its path and the names of its arguments are stored in metadata databases: they are never changed, and new
arguments have defaults. Arguments are stored in clear, so they hold ids and numbers only.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_claude_batch.core.poll_decision import WaitFor, decide, poll_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from anthropic import AsyncAnthropic
    from anthropic.types.messages import MessageBatch


class ClaudeBatchTrigger(BaseTrigger):
    """
    Wait until all of some batches have ended, or the first of them, and report it once.

    Only looks: a look that fails is repeated. Two triggerers may run the same wait. Nothing is canceled but
    what ``cancel_batch_ids`` names, and only where a person has failed the task.

    :param claude_conn_id: Airflow connection of type ``anthropic``.
    :param batch_ids: Batches of that connection's workspace.
    :param timeout_at: Epoch seconds after which the wait is reported as late. Wall-clock, since a wait may
        move to another triggerer.
    :param poll_interval: Seconds between looks; ``None`` for a tenth of the batches' age, between one and ten
        minutes.
    :param wait_for: ``all`` or ``any``; of no batches, the end of the time.
    :param manifest: Comes back with the event.
    :param cancel_batch_ids: Batches of the task's own, as the API's own answers named them.
    """

    def __init__(
        self,
        claude_conn_id: str,
        batch_ids: Sequence[str],
        timeout_at: float,
        poll_interval: float | None = None,
        *,
        wait_for: WaitFor = "all",
        manifest: str | None = None,
        cancel_batch_ids: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.claude_conn_id = claude_conn_id
        self.batch_ids = list(batch_ids)
        self.timeout_at = timeout_at
        self.poll_interval = poll_interval
        self.wait_for = wait_for
        self.manifest = manifest
        self.cancel_batch_ids = list(cancel_batch_ids)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return path and arguments as they are stored."""
        return (
            "airflow_provider_claude_batch.triggers.batch.ClaudeBatchTrigger",
            {
                "claude_conn_id": self.claude_conn_id,
                "batch_ids": self.batch_ids,
                "timeout_at": self.timeout_at,
                "poll_interval": self.poll_interval,
                "wait_for": self.wait_for,
                "manifest": self.manifest,
                "cancel_batch_ids": self.cancel_batch_ids,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Yield one event.

        Its ``status`` is ``ended`` or ``late``, ``batch_ids`` are the batches, ``waiting`` those of them that
        have not ended.
        """
        from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook

        started = time.monotonic()
        self.log.info("Waiting for the end of %s", ", ".join(self.batch_ids) or "the time")
        seen: dict[str, MessageBatch] = {}
        async with await ClaudeBatchHook(self.claude_conn_id).get_async_conn() as client:
            while True:
                await self._look(client, seen, started=started)
                decision = decide(
                    self.batch_ids,
                    seen={batch_id: batch.processing_status for batch_id, batch in seen.items()},
                    now=time.time(),
                    timeout_at=self.timeout_at,
                    wait_for=self.wait_for,
                )
                if decision.action != "wait":
                    break
                seconds = min(self._seconds_to_next_look(seen), self.timeout_at - time.time())
                await asyncio.sleep(max(seconds, 0))
        yield TriggerEvent(
            {
                "status": decision.action,
                "batch_ids": self.batch_ids,
                "waiting": list(decision.waiting),
                "manifest": self.manifest,
            }
        )

    async def on_kill(self) -> None:
        """Cancel what is to be canceled, where a person has failed the task and nothing else has happened."""
        from anthropic import APIError

        from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
        from airflow_provider_claude_batch.triggers.task_state import was_failed_by_a_person

        if not self.cancel_batch_ids or self.task_instance is None:
            return
        if not await was_failed_by_a_person(self.task_instance):
            self.log.info("No person has failed the task: its batches go on.")
            return
        async with await ClaudeBatchHook(self.claude_conn_id).get_async_conn() as client:
            for batch_id in self.cancel_batch_ids:
                try:
                    await client.messages.batches.cancel(batch_id)
                    self.log.info("Batch %s is canceled, since a person has failed the task.", batch_id)
                except APIError as error:
                    self.log.warning("Batch %s is not canceled (%s).", batch_id, type(error).__name__)

    async def _look(self, client: AsyncAnthropic, seen: dict[str, MessageBatch], *, started: float) -> None:
        from anthropic import APIError

        from airflow_provider_claude_batch.triggers.poller import look

        if not self.batch_ids:
            return
        waiting = [b for b in self.batch_ids if b not in seen or seen[b].processing_status != "ended"]
        try:
            found = await look(client, waiting)
        except APIError as error:
            self.log.warning(
                "The API cannot be asked about the batches (%s). They go on; the next look comes as planned.",
                type(error).__name__,
            )
            return
        for batch_id, batch in found.items():
            before = seen.get(batch_id)
            seen[batch_id] = batch
            if before is None or before.processing_status != batch.processing_status:
                self._log_change(batch, waited=time.monotonic() - started)

    def _log_change(self, batch: MessageBatch, *, waited: float) -> None:
        counts = batch.request_counts
        self.log.info(
            "Batch %s is %s after %.0f s of waiting: %d processing, %d succeeded, %d errored, %d canceled, "
            "%d expired",
            batch.id,
            batch.processing_status,
            waited,
            counts.processing,
            counts.succeeded,
            counts.errored,
            counts.canceled,
            counts.expired,
        )

    def _seconds_to_next_look(self, seen: dict[str, MessageBatch]) -> float:
        if self.poll_interval is not None:
            return self.poll_interval
        created = [batch.created_at.timestamp() for batch in seen.values()]
        return poll_seconds(time.time() - min(created)) if created else poll_seconds(0)
