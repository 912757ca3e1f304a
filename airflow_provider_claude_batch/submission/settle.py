"""
The end of an earlier generation: what it sent is found, and what it did not send it never will.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.manifest import Round, Sent
from airflow_provider_claude_batch.errors import SubmissionUncertainError
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.search import Search
from airflow_provider_claude_batch.submission.send import search_pause

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from airflow_provider_claude_batch.core.manifest import Plan, ShardRecord
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.pauses import Pause
    from airflow_provider_claude_batch.submission.search import Clock


def settle_generations(
    earlier: Sequence[ManifestFolder],
    hook: ClaudeBatchHook,
    *,
    grace: timedelta,
    try_number: int,
    clock: Clock,
) -> list[Pause]:
    """
    Make sure that every shard of earlier generations is a batch on record, or will never be one.

    A shard that was not sent is closed by the same exclusive record that a send begins with: a process that
    is still at it, or wakes later, stops before its last byte.

    :param try_number: Of the task instance, for the record.
    :return: What has to be waited for; empty where all is settled.
    :raises SubmissionUncertainError: Another process is sending, or only a person can tell what a lost answer
        was.
    """
    pauses: list[Pause] = []
    for folder in earlier:
        plan, _ = require_plan(folder)
        _close_rounds(folder, plan)
        for record in folder.rounds(plan):
            search = Search(folder=folder, plan=plan, record=record, hook=hook, grace=grace, clock=clock)
            pauses += settle_round(search, try_number=try_number)
    return pauses


def _close_rounds(folder: ManifestFolder, plan: Plan) -> None:
    """Say that there is no further round: a load of that generation that is still at it makes none."""
    while True:
        end = Round(index=len(folder.rounds(plan)), identity=plan.identity, shards=[], is_closed=True)
        if folder.commit_round(end, identity=plan.identity) is None:
            return


def settle_round(search: Search, *, try_number: int) -> Iterator[Pause]:
    """Do so for one round; yields what has to be waited for."""
    for shard, batch in search.folder.batches(search.record):
        if (
            batch is not None
            or not shard.requests
            or search.folder.is_closed(search.record.index, shard.index)
        ):
            continue
        decision, listing = search.decide(shard)
        if decision.action == "wait":
            yield search_pause(shard, decision, listing)
        elif decision.action == "send":
            _close(search, shard, attempt=decision.attempt, try_number=try_number)


def _close(search: Search, shard: ShardRecord, *, attempt: int, try_number: int) -> None:
    folder, round_index, now = search.folder, search.record.index, search.api_now()
    closed = Sent(
        attempt=attempt,
        cursor=None,
        request_count=shard.requests,
        looked_at=now,
        sent_at=now,
        try_number=try_number,
        nonce=secrets.token_hex(8),
        is_closed=True,
    )
    try:
        folder.write_sent(round_index, shard.index, closed)
    except FileExistsError as error:
        raise SubmissionUncertainError(
            f"Shard {shard.index} of {folder.uri} was sent by another process at this moment. A retry looks "
            "what became of it; nothing is sent twice."
        ) from error
