"""
The transfer that loads the results of a submission as Parquet. Everything but the story is in ``submission``.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_claude_batch.errors import ClaudeBatchInputError, SubmissionUncertainError
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.links.batch import ClaudeBatchLink
from airflow_provider_claude_batch.submission.land_taken import land
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.publish import Destination, publish
from airflow_provider_claude_batch.submission.receipt import make_receipt, write_receipt
from airflow_provider_claude_batch.submission.reference import SubmissionReference, to_references
from airflow_provider_claude_batch.submission.retention import apply_retention

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_claude_batch.core.manifest import BatchRecord, Plan, Receipt, Round, ShardRecord


class ClaudeBatchToParquetOperator(BaseOperator):
    """
    Load the results of a submission as one Parquet object, one row for every row of the query.

    Each row keeps its key and passthrough columns in the warehouse's own types, then come the columns of the
    output schema, then ours, all of which begin with ``claude_``; ``claude_outcome`` says what became of the
    row.

    A retry costs nothing: results that were landed are not fetched again, and the same object is put in place
    again. The object is replaced by one put, so a reader sees the old rows or the new ones. Returns a small
    dict with ``files``, ``rows``, ``outcomes``, ``tokens`` and ``manifest``.

    :param submission: Output of a :class:`~..operators.submit.ClaudeBatchSubmitOperator` that is not mapped,
        or a manifest URI. (templated)
    :param destination: A folder, which gets one ``data.parquet`` (``data-NNNNN.parquet`` from each instance
        of a mapped task), or a path that ends in ``.parquet``; any path or URI that Airflow's object storage
        knows. (templated)
    :param claude_conn_id: Connection of type ``anthropic``; default: the submission's own. (templated)
    """

    template_fields: Sequence[str] = ("submission", "destination", "claude_conn_id")
    operator_extra_links = (ClaudeBatchLink(),)
    ui_color = "#d8ecdc"

    def __init__(
        self, *, submission: object, destination: str, claude_conn_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.submission = submission
        self.destination = destination
        self.claude_conn_id = claude_conn_id
        self.linked_batch_ids: list[str] = []

    def check_destination(self, context: Context) -> None:
        """
        Raise where the destination cannot be written.

        A submit task upstream calls this before it sends anything.

        :raises DestinationError: Names the destination and what the file system says.
        """
        rendered: str = self.render_template(self.destination, context)
        Destination.at(rendered).check_writable()

    def execute(self, context: Context) -> dict[str, object]:
        """Land each shard, publish them as one object, write the receipt."""
        reference = self._reference()
        self.linked_batch_ids = list(reference.batch_ids)
        folder = ManifestFolder.at(reference.manifest)
        plan, first_round = require_plan(folder)
        receipt = folder.read_receipt()
        if receipt is not None and plan.retain == "nothing":
            self.log.info(
                "Published at %s, and nothing of it was retained.", receipt.published_at.isoformat()
            )
            return _to_xcom(receipt, folder)
        hook = ClaudeBatchHook(self.claude_conn_id or plan.settings.claude_conn_id)
        for shard, batch in self._batches(folder, first_round):
            self._land(folder, first_round, shard, batch, hook=hook, plan=plan)
        return self._publish(folder, plan, first_round, context)

    def _reference(self) -> SubmissionReference:
        references = to_references(self.submission)
        if len(references) != 1:
            raise ClaudeBatchInputError(
                f"submission holds {len(references)} submissions and one destination takes one: map the "
                "transfer too."
            )
        return references[0]

    def _batches(self, folder: ManifestFolder, record: Round) -> list[tuple[ShardRecord, BatchRecord | None]]:
        found = []
        for shard, batch in folder.batches(record):
            if batch is None and (shard.requests or shard.taken):
                raise SubmissionUncertainError(
                    f"Shard {shard.index} of {folder.uri} has no batch on record: run the submit task again "
                    "first. Nothing is published."
                )
            found.append((shard, batch))
        return found

    def _land(
        self,
        folder: ManifestFolder,
        record: Round,
        shard: ShardRecord,
        batch: BatchRecord | None,
        *,
        hook: ClaudeBatchHook,
        plan: Plan,
    ) -> None:
        if batch is None:
            land(folder, plan, record, shard, hook)
            return
        if batch.loaded_at is not None and folder.has_results(record.index, shard.index):
            self.log.info("Batch %s was landed at %s.", batch.batch_id, batch.loaded_at.isoformat())
            return
        ended_at = land(folder, plan, record, shard, hook)
        landed = dataclasses.replace(batch, ended_at=ended_at, loaded_at=datetime.now(UTC))
        folder.write_batch(record.index, shard.index, landed)
        if shard.taken is None:
            self.log.info("Batch %s is landed: %d requests", batch.batch_id, shard.requests)
        else:
            self.log.info("Answers of batch %s are taken from %s", batch.batch_id, shard.taken.manifest)

    def _publish(
        self, folder: ManifestFolder, plan: Plan, record: Round, context: Context
    ) -> dict[str, object]:
        destination = Destination.at(self.destination, map_index=context["ti"].map_index)
        tally = publish(
            folder,
            record,
            destination,
            row_count=plan.row_count * plan.settings.samples_per_row,
            json_schema=plan.settings.output_schema,
        )
        receipt = make_receipt(
            plan,
            tally,
            ti=context["ti"],
            batch_ids=self.linked_batch_ids,
            files=[destination.uri],
            batch_seconds=[
                (batch.ended_at - batch.created_at).total_seconds()
                for shard, batch in folder.batches(record)
                if batch is not None and batch.ended_at is not None and shard.taken is None
            ],
            now=datetime.now(UTC),
        )
        write_receipt(folder, receipt, staging_root=plan.staging_root)
        apply_retention(folder, plan.retain)
        self._log_receipt(receipt)
        return _to_xcom(receipt, folder)

    def _log_receipt(self, receipt: Receipt) -> None:
        self.log.info(
            "Published %d rows to %s: %s; %s",
            receipt.rows,
            ", ".join(receipt.files),
            ", ".join(f"{count} {outcome}" for outcome, count in receipt.outcomes.items()) or "none",
            ", ".join(f"{count} {kind} tokens" for kind, count in receipt.tokens.items() if count),
        )
        if unusable := receipt.rows - receipt.outcomes.get("ok", 0):
            self.log.warning(
                "%d of %d rows have no usable answer: see claude_outcome and claude_error_type in the "
                "dataset.",
                unusable,
                receipt.rows,
            )


def _to_xcom(receipt: Receipt, folder: ManifestFolder) -> dict[str, object]:
    return {
        "files": receipt.files,
        "rows": receipt.rows,
        "outcomes": receipt.outcomes,
        "tokens": receipt.tokens,
        "manifest": folder.uri,
    }
