"""Which batches of a submission still have to be waited for. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_claude_batch.core.manifest import Round, ShardRecord
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook


@dataclass(frozen=True, slots=True)
class SeenBatches:
    """
    One look at some batches; those that are in neither list have ended.

    :param running: They have not ended.
    :param gone: Neither the list nor the API's answer for each shows them.
    """

    running: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


def look_at_batches(hook: ClaudeBatchHook, batches: Mapping[str, datetime]) -> SeenBatches:
    """
    Look at batches; one that the list does not show is asked for by itself, since the list may lag.

    :param batches: When each was created, by id.
    :raises anthropic.APIError: The API cannot be asked.
    """
    if not batches:
        return SeenBatches()
    listing = hook.list_batches(back_to=min(batches.values()))
    ended = {batch.batch_id: batch.has_ended for batch in listing.batches}
    seen = {each: ended[each] if each in ended else _has_ended(hook, each) for each in batches}
    return SeenBatches(
        running=tuple(batch_id for batch_id, has_ended in seen.items() if has_ended is False),
        gone=tuple(batch_id for batch_id, has_ended in seen.items() if has_ended is None),
    )


def _has_ended(hook: ClaudeBatchHook, batch_id: str) -> bool | None:
    from anthropic import NotFoundError

    try:
        return hook.retrieve_batch(batch_id).processing_status == "ended"
    except NotFoundError:
        return None


def is_answered(folder: ManifestFolder, record: Round, shard: ShardRecord) -> bool:
    """
    Return whether a shard's answers are in a manifest folder: its own, or the one that they are taken from.

    Its batch has ended then, and may be deleted at Anthropic by now.
    """
    if folder.has_results(record.index, shard.index):
        return True
    taken = shard.taken
    return taken is not None and ManifestFolder.at(taken.manifest).has_results(
        taken.round_index, taken.shard_index
    )
