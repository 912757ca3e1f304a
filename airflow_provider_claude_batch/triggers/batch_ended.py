"""
The trigger by which an ended batch starts a Dag, whoever made it: for an ``AssetWatcher``.

Its path and the names of its arguments are stored in metadata databases: they are never changed, and new
arguments have defaults.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_claude_batch.core.poll_decision import SHORTEST_SECONDS
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.triggers.ended_batches import EndWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anthropic.types.messages import MessageBatch


_log = logging.getLogger(__name__)


class ClaudeBatchEndedTrigger(BaseEventTrigger):
    """
    Report each batch of a workspace that ends, those made outside Airflow too.

    Begins with what ends after its first look. Where Airflow keeps a state for the asset (3.3 and later), the
    newest end is kept there, and what ended while no triggerer ran is reported by the next; a batch is
    reported again only where a triggerer dies within seconds of its report. For that, each asset needs a
    watcher with arguments of its own. Batches that are deleted before they are seen are not reported.

    Only looks, with one list call each time; where looks fail, they come less often, and never end.

    :param claude_conn_id: Airflow connection of type ``anthropic``, whose workspace is watched.
    :param poll_interval: Seconds between looks; ``None`` for one minute.
    """

    def __init__(
        self, claude_conn_id: str = ClaudeBatchHook.default_conn_name, poll_interval: float | None = None
    ) -> None:
        super().__init__()
        self.claude_conn_id = claude_conn_id
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return path and arguments as they are stored."""
        return (
            "airflow_provider_claude_batch.triggers.batch_ended.ClaudeBatchEndedTrigger",
            {"claude_conn_id": self.claude_conn_id, "poll_interval": self.poll_interval},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Yield an event for each batch that has ended, without an end.

        Its payload has ``batch_id``, ``created_at`` and ``ended_at`` in ISO 8601, and ``request_counts``, a
        dict with the API's names.
        """
        watch = EndWatch(
            ClaudeBatchHook(self.claude_conn_id).get_async_conn,
            _AssetPosition(getattr(self, "asset_state_store", None), self.claude_conn_id),
            poll_interval=SHORTEST_SECONDS if self.poll_interval is None else self.poll_interval,
        )
        async with aclosing(watch.batches()) as batches:
            async for batch in batches:
                yield TriggerEvent(_payload(batch))


def _payload(batch: MessageBatch) -> dict[str, object]:
    ended_at = batch.ended_at
    return {
        "batch_id": batch.id,
        "created_at": batch.created_at.isoformat(),
        "ended_at": None if ended_at is None else ended_at.isoformat(),
        "request_counts": batch.request_counts.to_dict(),
    }


class _AssetPosition:
    """
    Keeps the position in the state of the asset that is watched.

    :param store: Airflow's accessor; ``None`` where it has none, and then nothing is kept.
    """

    def __init__(self, store: Any, claude_conn_id: str) -> None:
        self._store = store
        self._key = f"claude_batch_ended_at:{claude_conn_id}"

    async def read(self) -> datetime | None:
        """Return the newest ``ended_at`` that was kept, or ``None``."""
        if self._store is None:
            return None
        try:
            kept = await self._store.aget(self._key)
        except ValueError:
            _log.warning(
                "Several assets share this watcher, so the newest end is not kept: what ends while no "
                "triggerer runs will not be reported. Give each asset a watcher with another poll_interval."
            )
            self._store = None
            return None
        return None if kept is None else datetime.fromisoformat(kept)

    async def keep(self, ended_at: datetime) -> None:
        """Keep the newest ``ended_at``."""
        if self._store is not None:
            await self._store.aset(self._key, ended_at.isoformat())
