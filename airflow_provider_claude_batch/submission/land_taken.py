"""
Answers that an earlier generation paid for, joined with the rows of the one that took them over.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.tally import TOKEN_KINDS
from airflow_provider_claude_batch.errors import ManifestUnreadableError, ResultsIncompleteError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.generations import generation_numbers
from airflow_provider_claude_batch.submission.land import land_rejected, land_shard
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.names import generation_name
from airflow_provider_claude_batch.submission.parquet_rows import rows_of
from airflow_provider_claude_batch.submission.pricing import price_list
from airflow_provider_claude_batch.submission.rereads import Rereads
from airflow_provider_claude_batch.submission.storage import scratch_folder

#: What was billed for a row.
BILLED_COLUMNS = frozenset({*(f"claude_{kind}_tokens" for kind in TOKEN_KINDS), "claude_cost_usd"})

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from airflow_provider_claude_batch.core.manifest import BatchRecord, Plan, Round, ShardRecord, Taken
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.land import Landing


def land(
    folder: ManifestFolder,
    plan: Plan,
    in_round: Round,
    shard: ShardRecord,
    hook: ClaudeBatchHook,
    *,
    rereads: Rereads | None = None,
) -> Landing | None:
    """
    Write ``results-NNNNN.parquet`` of any shard: of its own batch, of an earlier generation's, or of none.

    :param in_round: The round that the shard is of.
    :param rereads: How patient to be with results that do not come whole.
    :return: Of its own batch, or ``None`` where it has none.
    :raises BatchNotEndedError: A batch is still processing.
    :raises ResultsIncompleteError: The results do not agree with what was sent.
    :raises ManifestUnreadableError: A shard has no batch on record.
    """
    schema, keeps = plan.settings.output_schema, plan.keep_content
    if shard.taken is not None:
        _land_taken(folder, plan, in_round, shard, shard.taken, hook=hook)
        return None
    if not shard.requests:
        prices = price_list(plan.created_at)
        land_rejected(folder, in_round, shard, json_schema=schema, price_list=prices, keep_content=keeps)
        return None
    batch = folder.read_batch(in_round.index, shard.index)
    if batch is None:
        raise ManifestUnreadableError(f"Shard {shard.index} of {folder.uri} has no batch on record.")
    prices = price_list(batch.created_at)
    return land_shard(
        folder,
        in_round,
        shard,
        batch,
        hook,
        json_schema=schema,
        price_list=prices,
        keep_content=keeps,
        rereads=rereads or Rereads(),
    )


def land_batch(
    folder: ManifestFolder,
    plan: Plan,
    in_round: Round,
    shard: ShardRecord,
    batch: BatchRecord,
    *,
    hook: ClaudeBatchHook,
    rereads: Rereads | None = None,
) -> BatchRecord:
    """Land a shard that has a batch, and say so on the batch's record; see :func:`land`."""
    landing = land(folder, plan, in_round, shard, hook, rereads=rereads)
    landed = replace(
        batch,
        ended_at=landing.ended_at if landing else None,
        loaded_at=datetime.now(UTC),
        results_sha256=landing.sha256 if landing else None,
    )
    folder.write_batch(in_round.index, shard.index, landed)
    return landed


def mark_landed(
    folder: ManifestFolder, in_round: Round, shard: ShardRecord, batch: BatchRecord, *, hook: ClaudeBatchHook
) -> BatchRecord:
    """Say on a batch's record that its results are there; when it ended, where the API still knows it."""
    from anthropic import NotFoundError

    ended_at = None
    if shard.taken is None:
        with suppress(NotFoundError):
            ended_at = hook.retrieve_batch(batch.batch_id).ended_at
    landed = replace(batch, ended_at=ended_at, loaded_at=datetime.now(UTC))
    folder.write_batch(in_round.index, shard.index, landed)
    return landed


def _land_taken(
    folder: ManifestFolder,
    plan: Plan,
    in_round: Round,
    shard: ShardRecord,
    taken: Taken,
    *,
    hook: ClaudeBatchHook,
) -> None:
    import pyarrow.parquet as pq

    from airflow_provider_claude_batch.core.results_to_arrow import published_schema

    source = ManifestFolder.at(taken.manifest)
    if not source.has_results(taken.round_index, taken.shard_index):
        its_plan, _ = require_plan(source)
        its_round = source.rounds(its_plan)[taken.round_index]
        land(source, its_plan, its_round, its_round.shards[taken.shard_index], hook)
    keys = folder.read_keys(in_round.index, shard.index, in_round.identity)
    landed = 0
    with scratch_folder() as scratch:
        path = scratch / "results.parquet"
        with source.folder.open(names.results_path(taken.round_index, taken.shard_index)) as file:
            results = pq.ParquetFile(file)
            schema = published_schema(
                keys.schema, plan.settings.output_schema, keep_content=plan.keep_content
            )
            costs_nothing = is_paid_elsewhere(folder, source)
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for rows in _joined(
                    rows_of(results), keys, schema, taken.manifest, costs_nothing=costs_nothing
                ):
                    landed += rows.num_rows
                    writer.write_batch(rows)
        if landed != keys.num_rows:
            raise ResultsIncompleteError(
                f"{taken.manifest} has answers to {landed} of the {keys.num_rows} requests that were taken "
                "from it. Nothing is published."
            )
        folder.folder.put(path, names.results_path(in_round.index, shard.index))


def zeros(count: int, kind: pa.DataType) -> pa.Array:
    """Return a column of zeros, for rows that cost nothing."""
    import pyarrow as pa

    return pa.array([Decimal(0) if pa.types.is_decimal(kind) else 0] * count, kind)


def is_paid_elsewhere(folder: ManifestFolder, source: ManifestFolder) -> bool:
    """Return whether another receipt tells what the answers cost: a run's, or a published generation's."""
    (ours, own_name), (theirs, name) = folder.folder.parent(), source.folder.parent()
    if ours.root != theirs.root:
        return True
    # What a generation took itself is on its receipt too.
    return any(
        ours.child(generation_name(number)).exists(names.RECEIPT)
        for number in generation_numbers(ours)
        if int(name[1:]) <= number < int(own_name[1:])
    )


def _joined(
    batches: Iterator[pa.RecordBatch],
    keys: pa.Table,
    schema: pa.Schema,
    manifest: str,
    *,
    costs_nothing: bool,
) -> Iterator[pa.RecordBatch]:
    """Yield the answers that are asked for, with the rows' own columns from here and the rest from there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from_here = {"claude_sample", *(name for name in keys.column_names if not name.startswith("claude_"))}
    ids = keys.column("claude_custom_id").combine_chunks()
    for batch in batches:
        positions = pc.index_in(batch.column("claude_custom_id"), value_set=ids)
        there = batch.filter(positions.is_valid())
        here = keys.take(positions.drop_null()).combine_chunks()
        columns = []
        for field in schema:
            if field.name == "claude_reused_from":
                columns.append(pa.array([manifest] * there.num_rows, field.type))
            elif field.name in from_here:
                columns.append(here.column(field.name).combine_chunks())
            elif field.name not in there.schema.names:
                # The raw blocks, which the earlier run was not asked to keep.
                columns.append(pa.nulls(there.num_rows, field.type))
            elif costs_nothing and field.name in BILLED_COLUMNS:
                columns.append(zeros(there.num_rows, field.type))
            else:
                columns.append(there.column(field.name).cast(field.type))
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
