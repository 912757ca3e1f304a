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

from airflow_provider_claude_batch.core.poll_decision import decide, poll_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from anthropic import AsyncAnthropic
    from anthropic.types.messages import MessageBatch


class ClaudeBatchTrigger(BaseTrigger):
    """
    Wait until all of some batches have ended, and report it once.

    Only looks: a look that fails is repeated, and nothing is ever canceled. Two triggerers may run the same
    wait.

    :param claude_conn_id: Airflow connection of type ``anthropic``.
    :param batch_ids: Batches of that connection's workspace.
    :param timeout_at: Epoch seconds after which the wait is reported as late. Wall-clock, since a wait may
        move to another triggerer.
    :param poll_interval: Seconds between looks; ``None`` for a tenth of the batches' age, between one and ten
        minutes.
    """

    def __init__(
        self,
        claude_conn_id: str,
        batch_ids: Sequence[str],
        timeout_at: float,
        poll_interval: float | None = None,
    ) -> None:
        super().__init__()
        self.claude_conn_id = claude_conn_id
        self.batch_ids = list(batch_ids)
        self.timeout_at = timeout_at
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return path and arguments as they are stored."""
        return (
            "airflow_provider_claude_batch.triggers.batch.ClaudeBatchTrigger",
            {
                "claude_conn_id": self.claude_conn_id,
                "batch_ids": self.batch_ids,
                "timeout_at": self.timeout_at,
                "poll_interval": self.poll_interval,
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
        self.log.info("Waiting for the end of %s", ", ".join(self.batch_ids))
        seen: dict[str, MessageBatch] = {}
        async with await ClaudeBatchHook(self.claude_conn_id).get_async_conn() as client:
            while True:
                await self._look(client, seen, started=started)
                decision = decide(
                    self.batch_ids,
                    seen={batch_id: batch.processing_status for batch_id, batch in seen.items()},
                    now=time.time(),
                    timeout_at=self.timeout_at,
                )
                if decision.action != "wait":
                    break
                await asyncio.sleep(self._seconds_to_next_look(seen))
        yield TriggerEvent(
            {"status": decision.action, "batch_ids": self.batch_ids, "waiting": list(decision.waiting)}
        )

    async def _look(self, client: AsyncAnthropic, seen: dict[str, MessageBatch], *, started: float) -> None:
        from anthropic import APIError

        from airflow_provider_claude_batch.triggers.poller import look

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
