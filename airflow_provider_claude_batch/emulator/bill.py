"""The bill of everything answered: by batch, by model, and in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.emulator.message_endpoints import MESSAGES_BILL, messages_bill
from airflow_provider_claude_batch.emulator.tally import total_usage, usage_by_model

if TYPE_CHECKING:
    from airflow_provider_claude_batch.emulator.store import Store
    from airflow_provider_claude_batch.emulator.wire import JsonObject


def bill(store: Store) -> JsonObject:
    """
    Return tokens by kind and dollars.

    A batch is on it once it was seen to have ended; a deleted one stays on it.
    """
    messages = messages_bill(store.note(MESSAGES_BILL))
    ended = [batch for batch in store.every_batch() if batch.ended_at is not None]
    everything = [*messages, *(part for batch in ended for part in batch.usage)]
    return {
        "total": total_usage(everything),
        "by_model": usage_by_model(everything),
        "messages": total_usage(messages),
        "by_batch": {batch.id: total_usage(batch.usage) for batch in ended},
    }
