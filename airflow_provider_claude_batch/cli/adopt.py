"""``claude-batch adopt``: say which batch a shard became whose answer was lost. Pays nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.facts import read_facts
from airflow_provider_claude_batch.cli.folders import open_manifest
from airflow_provider_claude_batch.cli.live import api_errors_in_a_line, look
from airflow_provider_claude_batch.cli.text import is_confirmed, to_time
from airflow_provider_claude_batch.core.manifest import BatchRecord
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.proof import prove

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_claude_batch.cli.facts import ShardFacts, SubmissionFacts
    from airflow_provider_claude_batch.cli.live import LiveBatch
    from airflow_provider_claude_batch.core.resume_decision import Proof
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

_UNTOUCHED = "Nothing was changed."


def run(given: Namespace) -> int:
    """Prove the batch, ask, and write the record that a retry of the submit task goes on with."""
    folder = open_manifest(given.manifest)
    facts = read_facts(folder)
    shard = _shard(facts, given.round_index, given.shard)
    if shard.batch is not None and shard.batch.batch_id == given.batch_id:
        print(f"{shard.title} is {given.batch_id} on record already.")
        return 0
    _check_shard(facts, shard, given.batch_id)
    batch, proof = _look_and_prove(folder, facts, shard, given.batch_id)
    _check_batch(shard, batch, proof, is_unproven_taken=given.unproven)
    print(
        f"{batch.batch_id} was created {to_time(batch.created_at)}, ended {to_time(batch.ended_at)}, and "
        + (f"is proven to be {shard.name}." if proof == "ours" else "has no results that could prove it.")
    )
    if not is_confirmed(f"Record it as the batch of {shard.name}?", is_yes=given.yes):
        print(_UNTOUCHED)
        return 1
    record = BatchRecord(batch_id=batch.batch_id, known_by="proven", created_at=batch.created_at)
    _write(folder, shard, record)
    print(
        f"{shard.title} is {batch.batch_id}. A retry of the submit task goes on with it and does not send it."
    )
    return 0


def _shard(facts: SubmissionFacts, round_index: int, index: int) -> ShardFacts:
    for shard in facts.shards:
        if (shard.round_index, shard.shard.index) == (round_index, index):
            return shard
    raise ClaudeBatchInputError(f"{facts.manifest} has no shard {index} in round {round_index}. {_UNTOUCHED}")


def _check_shard(facts: SubmissionFacts, shard: ShardFacts, batch_id: str) -> None:
    if shard.batch is not None:
        raise ClaudeBatchInputError(f"{shard.title} is {shard.batch.batch_id} on record. {_UNTOUCHED}")
    if batch_id in facts.known:
        raise ClaudeBatchInputError(f"{batch_id} is {facts.known[batch_id].name} on record. {_UNTOUCHED}")
    if not shard.is_unanswered:
        raise ClaudeBatchInputError(
            f"{shard.title} was never sent, or the API gave every attempt a definite no, so no batch can be "
            f"it: a retry of the submit task sends it. {_UNTOUCHED}"
        )


def _look_and_prove(
    folder: ManifestFolder, facts: SubmissionFacts, shard: ShardFacts, batch_id: str
) -> tuple[LiveBatch, Proof]:
    hook = ClaudeBatchHook(facts.plan.settings.claude_conn_id)
    record = next(found for found in folder.rounds(facts.plan) if found.index == shard.round_index)
    with hook.client as client, api_errors_in_a_line(_UNTOUCHED):
        batch = look(client, [batch_id]).get(batch_id)
        if batch is None:
            raise ClaudeBatchInputError(
                f"The API shows no batch {batch_id} to connection {hook.claude_conn_id}. {_UNTOUCHED}"
            )
        return batch, prove(hook, folder, record, shard.shard, batch_id)


def _check_batch(shard: ShardFacts, batch: LiveBatch, proof: Proof, *, is_unproven_taken: bool) -> None:
    if proof == "not ended":
        raise ClaudeBatchInputError(
            f"{batch.batch_id} is {batch.processing_status}, and only an ended batch can be proven: wait for "
            f"its end, within 24 hours of {to_time(batch.created_at)}. A retry of the submit task waits for "
            f"it too. {_UNTOUCHED}"
        )
    if proof == "foreign":
        raise ClaudeBatchInputError(
            f"{batch.batch_id} is not {shard.name}: it answers other requests. {_UNTOUCHED}"
        )
    requests = sum(batch.request_counts.values())
    if requests != shard.shard.requests:
        raise ClaudeBatchInputError(
            f"{batch.batch_id} has {requests} requests, and {shard.name} has {shard.shard.requests}. "
            f"{_UNTOUCHED}"
        )
    if proof == "unreadable" and not is_unproven_taken:
        raise ClaudeBatchInputError(
            f"{batch.batch_id} has no results that can be read, so nothing proves whose it is. If you know "
            f"it to be {shard.name}, say --unproven: its rows are not sent again, and its answers are gone. "
            f"{_UNTOUCHED}"
        )


def _write(folder: ManifestFolder, shard: ShardFacts, record: BatchRecord) -> None:
    """Write the record, unless a running task found the batch in the meantime."""
    known = folder.read_batch(shard.round_index, shard.shard.index)
    if known is not None and known.batch_id != record.batch_id:
        raise ClaudeBatchInputError(
            f"{shard.title} became {known.batch_id} on record in the meantime. {_UNTOUCHED}"
        )
    if known is None:
        folder.write_batch(shard.round_index, shard.shard.index, record)
