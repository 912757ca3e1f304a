"""
Paid answers that no manifest folder has, found while Anthropic still keeps them.

A batch is ours only where a manifest's own record names it, or where its first result line answers a request
of a shard whose answer was lost. No other batch is changed, and no line of it is read beyond that id.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import RESULTS_KEPT
from airflow_provider_claude_batch.core.manifest import BatchRecord
from airflow_provider_claude_batch.core.resume_decision import decide_resume
from airflow_provider_claude_batch.errors import ManifestUnreadableError, SubmissionUncertainError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.deployment import send_rules
from airflow_provider_claude_batch.submission.land_taken import land_batch
from airflow_provider_claude_batch.submission.manifest_folder import (
    ManifestFolder,
    find_manifests,
    require_plan,
)
from airflow_provider_claude_batch.submission.proof import prove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from airflow_provider_claude_batch.core.manifest import Plan, Round, ShardRecord
    from airflow_provider_claude_batch.core.resume_decision import Proof
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.hooks.listing import Listing
    from airflow_provider_claude_batch.submission.storage import Folder

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unloaded:
    """
    An ended batch whose results are only with Anthropic.

    :param batch_id: Of the batch.
    :param manifest: URI of the manifest folder that it belongs to.
    :param round_index: Round that it is of, from 0.
    :param shard: Index of the shard that it is, in that round.
    :param requests: Of the shard.
    :param created_at: When the batch was created, by the API's clock.
    :param ends_at: When Anthropic removes its results.
    :param is_lost: The manifest does not name it; its first result line proves it.
    """

    batch_id: str
    manifest: str
    round_index: int
    shard: int
    requests: int
    created_at: datetime
    ends_at: datetime
    is_lost: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """One shard of one round of one generation."""

    folder: ManifestFolder
    plan: Plan
    record: Round
    shard: ShardRecord
    batch: BatchRecord | None


def find_unloaded(root: Folder, hook: ClaudeBatchHook, now: datetime) -> list[Unloaded]:
    """
    Find the ended batches of the workspace that are of submissions under a staging root and not in them.

    Changes nothing and costs nothing. Left out are submissions that are published, and batches that still
    run. What cannot be read is logged and left out.

    :param root: The staging root.
    :param hook: Of the workspace; submissions of another one are left out.
    :param now: With a zone.
    :return: First those whose results are removed first.
    :raises anthropic.APIError: The API cannot be asked.
    """
    listing = hook.list_batches(back_to=now - RESULTS_KEPT)
    places = list(_places(root, listing))
    claimed = {place.batch.batch_id for place in places if place.batch is not None}
    grace = send_rules(hook).grace
    found = []
    for place in places:
        batch_id = place.batch.batch_id if place.batch is not None else None
        if batch_id is None:
            batch_id = _lost_batch(place, hook, listing, claimed=claimed, grace=grace)
        if batch_id is not None and not place.folder.has_results(place.record.index, place.shard.index):
            found += _unloaded(place, batch_id, listing, now=now)
    return sorted(found, key=lambda unloaded: unloaded.ends_at)


def load_unloaded(unloaded: Unloaded, hook: ClaudeBatchHook) -> BatchRecord:
    """
    Land the results of a batch in its manifest folder, where they stay; publishing is for the Dag's own load.

    Doing it again reads them again and changes nothing. A lost batch is put on record first, so that a retry
    of the submit task goes on with it and does not send it.

    :param unloaded: As :func:`find_unloaded` returns it.
    :param hook: Of the workspace.
    :raises ResultsIncompleteError: The results do not agree with what was sent.
    :raises SubmissionUncertainError: The shard has become another batch on record in the meantime.
    """
    folder = ManifestFolder.at(unloaded.manifest)
    plan, _ = require_plan(folder)
    record = folder.rounds(plan)[unloaded.round_index]
    shard = record.shards[unloaded.shard]
    batch = folder.read_batch(record.index, shard.index)
    if batch is None:
        batch = BatchRecord(batch_id=unloaded.batch_id, known_by="proven", created_at=unloaded.created_at)
        folder.write_batch(record.index, shard.index, batch)
    if batch.batch_id != unloaded.batch_id:
        raise SubmissionUncertainError(
            f"Shard {shard.index} of {folder.uri} is {batch.batch_id} on record by now, and not "
            f"{unloaded.batch_id}. Nothing was loaded or changed, and nothing is sent: look again."
        )
    return land_batch(folder, plan, record, shard, batch, hook=hook)


def _places(root: Folder, listing: Listing) -> Iterator[_Place]:
    """Yield every shard that is, or may be, a batch, of submissions that are not published."""
    for folder in find_manifests(root):
        try:
            yield from _places_of(folder, listing)
        except ManifestUnreadableError as error:
            _log.warning("%s is left alone: %s", folder.uri, error)


def _places_of(folder: ManifestFolder, listing: Listing) -> list[_Place]:
    plan = None if folder.folder.exists(names.RECEIPT) else folder.read_plan()
    account = listing.account
    if plan is None or plan.account_differs_from(account.organization_id, account.workspace_id):
        return []
    return [
        _Place(folder, plan, record, shard, batch)
        for record in folder.rounds(plan)
        for shard, batch in folder.batches(record)
        if shard.requests
    ]


def _lost_batch(
    place: _Place, hook: ClaudeBatchHook, listing: Listing, *, claimed: set[str], grace: timedelta
) -> str | None:
    """Return the batch that a shard without one became, if one that has ended proves it."""
    attempts = place.folder.attempts(place.record.index, place.shard.index)
    proofs: dict[str, Proof] = {}
    while True:
        decision = decide_resume(
            attempts,
            listed=listing.batches,
            proofs=proofs,
            claimed=claimed,
            now=listing.now,
            grace=grace,
        )
        if decision.action == "adopt":
            claimed.add(decision.batch_ids[0])
            return decision.batch_ids[0]
        if decision.action != "prove":
            return None
        for batch_id in decision.batch_ids:
            proofs[batch_id] = prove(hook, place.folder, place.record, place.shard, batch_id)


def _unloaded(place: _Place, batch_id: str, listing: Listing, *, now: datetime) -> list[Unloaded]:
    return [
        Unloaded(
            batch_id=batch_id,
            manifest=place.folder.uri,
            round_index=place.record.index,
            shard=place.shard.index,
            requests=place.shard.requests,
            created_at=batch.created_at,
            ends_at=batch.created_at + RESULTS_KEPT,
            is_lost=place.batch is None,
        )
        for batch in listing.batches
        if batch.batch_id == batch_id and batch.has_ended and now < batch.created_at + RESULTS_KEPT
    ]
