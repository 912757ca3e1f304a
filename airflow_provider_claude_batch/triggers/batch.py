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

from airflow_provider_claude_batch.core.poll_decision import WaitFor, decide
from airflow_provider_claude_batch.triggers.diary import WaitDiary
from airflow_provider_claude_batch.triggers.poller import waiting_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_provider_claude_batch.triggers.poller import Wait


#: An event that comes sooner has the task queued again before a busy scheduler has read that its first leg
#: has ended, which Airflow then takes for a failed try.
_LEAST_SECONDS = 2.0


#: What a kill has begun, for as long as it takes.
_KILLS: set[asyncio.Task[None]] = set()


class ClaudeBatchTrigger(BaseTrigger):
    """
    Wait until all of some batches have ended, or the first of them, and report it once.

    Only looks: a look that fails is repeated. Two triggerers may run the same wait. Nothing is canceled but
    what ``cancel_batch_ids`` names, and only where a person has failed the task.

    :param claude_conn_id: Airflow connection of type ``anthropic``.
    :param batch_ids: Batches of that connection's workspace.
    :param timeout_at: Epoch seconds after which the wait is reported as late. Wall-clock, since a wait may
        move to another triggerer.
    :param poll_interval: Seconds between looks of the whole connection while this wait lasts; ``None`` for a
        tenth of the batches' age, between one and ten minutes.
    :param wait_for: ``all`` or ``any``; of no batches, the end of the time.
    :param manifest: Comes back with the event.
    :param cancel_batch_ids: Batches of the task's own, as the API's own answers named them.
    :param timeout_seconds: Instead of ``timeout_at``, from the creation of the youngest batch on, once all
        were seen: a retry does not begin the wait anew.
    :param cancel_at: Epoch seconds at which the task is to cancel what has not ended.
    :param expected_seconds: How long such batches took before.
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
        timeout_seconds: float | None = None,
        cancel_at: float | None = None,
        expected_seconds: float | None = None,
    ) -> None:
        super().__init__()
        self.claude_conn_id = claude_conn_id
        self.batch_ids = list(batch_ids)
        self.timeout_at = timeout_at
        self.poll_interval = poll_interval
        self.wait_for = wait_for
        self.manifest = manifest
        self.cancel_batch_ids = list(cancel_batch_ids)
        self.timeout_seconds = timeout_seconds
        self.cancel_at = cancel_at
        self.expected_seconds = expected_seconds

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
                "timeout_seconds": self.timeout_seconds,
                "cancel_at": self.cancel_at,
                "expected_seconds": self.expected_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Yield one event.

        Its ``status`` is ``ended``, ``late``, ``gone``, or ``deadline`` where ``cancel_at`` has come;
        ``batch_ids`` are the batches, ``waiting`` those of them that have not ended, ``manifest`` what was
        given.
        """
        began = time.monotonic()
        self.log.info("Waiting for the end of %s", ", ".join(self.batch_ids) or "the time")
        async with waiting_for(
            self.claude_conn_id,
            self.batch_ids,
            poll_interval=self.poll_interval,
            expected_seconds=self.expected_seconds,
        ) as wait:
            diary = WaitDiary(self.batch_ids, log=self.log, expected_seconds=self.expected_seconds)
            while True:
                now = time.time()
                diary.note(wait, now=now)
                decision = decide(
                    self.batch_ids,
                    seen={batch_id: batch.processing_status for batch_id, batch in wait.seen.items()},
                    now=now,
                    timeout_at=self._timeout_at(wait),
                    wait_for=self.wait_for,
                    cancel_at=self.cancel_at,
                    absent=wait.absent,
                )
                if decision.action != "wait":
                    break
                times = [self._timeout_at(wait), self.cancel_at, diary.warn_at]
                await wait.news(min(at for at in times if at is not None))
        await asyncio.sleep(max(_LEAST_SECONDS - (time.monotonic() - began), 0.0))
        yield TriggerEvent(
            {
                "status": decision.action,
                "batch_ids": self.batch_ids,
                "waiting": list(decision.waiting),
                "manifest": self.manifest,
            }
        )

    def _timeout_at(self, wait: Wait) -> float:
        """Return when the wait is late, counted from the creation of its youngest batch if that is known."""
        if self.timeout_seconds is None or len(wait.seen) < len(self.batch_ids):
            return self.timeout_at
        return max(batch.created_at for batch in wait.seen.values()) + self.timeout_seconds

    async def on_kill(self) -> None:
        """Cancel what is to be canceled, where a person has failed the task and nothing else has happened."""
        # The triggerer cancels a trigger that is not gone after a second once more, and this with it; asking
        # Airflow for the state takes longer the first time.
        task = asyncio.create_task(self._cancel_own_batches())
        _KILLS.add(task)
        task.add_done_callback(_KILLS.discard)
        await asyncio.shield(task)

    async def _cancel_own_batches(self) -> None:
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
