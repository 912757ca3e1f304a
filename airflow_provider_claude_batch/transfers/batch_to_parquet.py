"""
The transfer that loads the results of a submission as Parquet. Everything but the story is in ``submission``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import BaseOperator

from airflow_provider_claude_batch.core.gate import Gate
from airflow_provider_claude_batch.errors import (
    BatchWaitTimeoutError,
    ClaudeBatchError,
    ClaudeBatchInputError,
)
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.links.batch import ClaudeBatchLink
from airflow_provider_claude_batch.submission.budget import Budget
from airflow_provider_claude_batch.submission.checks import to_checks
from airflow_provider_claude_batch.submission.counting import count_in_progress, count_published, count_step
from airflow_provider_claude_batch.submission.dataset_how import KEEP_OLD, MAX_FILE_BYTES, PublishHow
from airflow_provider_claude_batch.submission.deadline import DEADLINE_MARGIN_SECONDS, cancel_what_runs
from airflow_provider_claude_batch.submission.deployment import send_rules
from airflow_provider_claude_batch.submission.history import usual_seconds
from airflow_provider_claude_batch.submission.loading import delete_batches, publish_submission
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.metrics import retrieval_failing
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.publish import Destination
from airflow_provider_claude_batch.submission.reference import SubmissionReference, to_references
from airflow_provider_claude_batch.submission.rereads import Rereads
from airflow_provider_claude_batch.submission.retention import apply_retention
from airflow_provider_claude_batch.submission.retries import a_retry_can_help
from airflow_provider_claude_batch.submission.rounds import Rounds, RoundsStopped
from airflow_provider_claude_batch.transfers.foreign_batches import (
    check_source,
    load_batches,
    wait_for_batches,
)
from airflow_provider_claude_batch.transfers.telling import (
    add_to_outlet_events,
    log_receipt,
    log_step,
    receipt_to_xcom,
)
from airflow_provider_claude_batch.triggers.waiting import defer, sleep_in_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from airflow.sdk import Context

    from airflow_provider_claude_batch.core.manifest import Plan, Receipt


class ClaudeBatchToParquetOperator(BaseOperator):
    """
    Load the results of a submission as one dataset, one row for every row of the query.

    Each row keeps its key and passthrough columns in the warehouse's own types, then come the columns of the
    output schema, then ours, all of which begin with ``claude_``; ``claude_outcome`` says what became of the
    row.

    Rows whose outcome can improve are sent again, in further rounds: expired, canceled, missing, overloaded
    and rate-limited ones as they were, cut answers with a larger ``max_tokens``, answers that do not fit the
    output schema once more. While a round runs, the task is deferred.

    Then the gate: where too many rows have no usable answer, or a check does not hold, the task fails, the
    destination keeps what it had, and what was answered stays in the manifest folder.

    A retry costs nothing: results that were landed are not fetched again, rounds that were sent are not sent
    again, and the same bytes are put in place again. The dataset is replaced at once: a reader sees the old
    rows or the new ones. Returns a small dict with ``files``, ``rows``, ``outcomes``, ``tokens``,
    ``cost_usd``, ``rounds`` and ``manifest``; the event of an outlet asset carries the same.

    :param submission: Output of a :class:`~.ClaudeBatchSubmitOperator` that is not mapped, or a manifest URI.
        (templated)
    :param batch_ids: Ended or running batches that were made elsewhere, instead of ``submission``: a row for
        every result, without key columns; no round is sent, and ``manifest`` is ``None``. (templated)
    :param output_schema: Of the answers of ``batch_ids``, as a submit task takes it.
    :param destination: A folder, which gets one ``data.parquet`` (``data-NNNNN.parquet`` from each instance
        of a mapped task), or a path that ends in ``.parquet``; any path or URI that Airflow's object storage
        knows. (templated)
    :param claude_conn_id: Connection of type ``anthropic``; default: the submission's own, else
        ``anthropic_default``. (templated)
    :param max_rounds: Rounds in all, the first among them; 1 for sending nothing again.
    :param grow_max_tokens: What ``max_tokens`` is multiplied by for an answer that was cut, up to the model's
        limit; 1 for not asking again.
    :param max_error_rate: Share of rows that may be without a usable answer; a mapping limits outcomes by
        name, ``total`` all together; ``None`` for no limit.
    :param min_error_count: Fewer rows than so many without a usable answer pass, unless no row has one.
    :param checks: What must hold of the dataset before it is published: a function of the Arrow table that
        returns whether it does, or a SQL text over the table ``results``, or a list of these. (templated)
    :param partition_by: Columns that the dataset is divided by, into folders ``column=value``.
    :param sort_by: Columns that the rows are sorted by; ``True`` for the key.
    :param max_file_bytes: Size from which on the dataset is divided into several files, which
        ``_manifest.json`` names.
    :param keep_old: How long files that are no longer named stay.
    :param delete_after_load: Delete the submission's batches at Anthropic when their results are published.
    :param deferrable: Wait in the triggerer; ``False`` where there is none: the worker waits then.
    :param poll_interval: Seconds between looks while waiting; ``None`` for one to ten minutes.
    :param deadline_margin: Seconds before the submission's deadline at which what has not ended is canceled,
        and from which on no round begins.
    """

    template_fields: Sequence[str] = ("submission", "batch_ids", "destination", "claude_conn_id", "checks")
    operator_extra_links = (ClaudeBatchLink(),)
    ui_color = "#d8ecdc"

    def __init__(
        self,
        *,
        submission: object = None,
        batch_ids: Sequence[str] | None = None,
        output_schema: object = None,
        destination: str,
        claude_conn_id: str | None = None,
        max_rounds: int = 3,
        grow_max_tokens: float = 2.0,
        max_error_rate: float | Mapping[str, float] | None = 0.01,
        min_error_count: int = 5,
        checks: str | Callable[..., object] | Sequence[str | Callable[..., object]] = (),
        partition_by: Sequence[str] = (),
        sort_by: Sequence[str] | bool = (),
        max_file_bytes: int = MAX_FILE_BYTES,
        keep_old: timedelta = KEEP_OLD,
        delete_after_load: bool = False,
        deferrable: bool = True,
        poll_interval: float | None = None,
        deadline_margin: float = DEADLINE_MARGIN_SECONDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_source(submission, batch_ids, output_schema=output_schema, delete_after_load=delete_after_load)
        self.submission = submission
        self.batch_ids = batch_ids
        self.output_schema = output_schema
        self.destination = destination
        self.claude_conn_id = claude_conn_id
        self.max_rounds = max_rounds
        self.grow_max_tokens = grow_max_tokens
        self.max_error_rate = max_error_rate
        self.min_error_count = min_error_count
        self.checks = checks
        self.partition_by = partition_by
        self.sort_by = sort_by
        self.max_file_bytes = max_file_bytes
        self.keep_old = keep_old
        self.delete_after_load = delete_after_load
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.deadline_margin = deadline_margin
        self.linked_batch_ids: list[str] = []

    def check_destination(self, context: Context) -> None:
        """
        Raise where the destination cannot be written, or an argument is not as it must be.

        A submit task upstream calls this before it sends anything.

        :raises DestinationError: Names the destination and what the file system says.
        :raises ClaudeBatchInputError: A limit, a check or the layout is no such thing.
        """
        Gate.of(self.max_error_rate, min_error_count=self.min_error_count)
        to_checks(self.checks)
        self._layout(key=("key",))
        rendered: str = self.render_template(self.destination, context)
        Destination.at(rendered).check_writable()

    def execute(self, context: Context) -> dict[str, object]:
        """Land each round and send the next until all rows are final, then publish them."""
        return self._run(context, cancels_at_deadline=True)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, object]:
        """
        Go on after a wait.

        :raises BatchWaitTimeoutError: The batches of a round have not ended in time, or are gone.
        """
        if event["status"] == "deadline":
            self._cancel_what_runs(event["manifest"])
        given_up = event["waiting"] if event["status"] in ("late", "gone") else ()
        return self._run(context, cancels_at_deadline=event["status"] != "deadline", given_up=given_up)

    def _run(
        self, context: Context, *, cancels_at_deadline: bool, given_up: Sequence[str] = ()
    ) -> dict[str, object]:
        try:
            while True:
                done = self._load(context)
                if not isinstance(done, Pause):
                    return done
                if done.is_for_results and (late := sorted({*done.batch_ids} & {*given_up})):
                    raise BatchWaitTimeoutError(
                        f"{', '.join(late)} have not ended in time, or are no longer there. They were left "
                        "alone; a retry looks at them again."
                    )
                self._wait(done, context, cancels_at_deadline=cancels_at_deadline)
        except ClaudeBatchError as error:
            if a_retry_can_help(error):
                raise
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error

    def _load(self, context: Context) -> dict[str, object] | Pause:
        """Do all that can be done now; the rest needs the pause, after which this is called again."""
        if self.batch_ids is not None:
            return load_batches(self, context)
        folder, plan, hook = self._open()
        receipt = folder.read_receipt()
        if receipt is not None and plan.retain == "nothing":
            self.log.info(
                "Published at %s, and nothing of it was retained.", receipt.published_at.isoformat()
            )
            # What a try that died behind the receipt had still to do.
            apply_retention(folder, plan.retain)
            return self._finish(folder, plan, hook, context, receipt)
        cap = folder.read_cap()
        rounds = Rounds(
            folder=folder,
            plan=plan,
            hook=hook,
            rules=send_rules(hook),
            max_rounds=self.max_rounds,
            grow_max_tokens=self.grow_max_tokens,
            deadline_margin=self.deadline_margin,
            try_number=context["ti"].try_number,
            clock=lambda: datetime.now(UTC),
            budget=None if cap is None else Budget(folder=folder, plan=plan, hook=hook, cap_usd=cap),
        )
        rounds.rereads = Rereads(on_failing=lambda seconds: retrieval_failing(context["ti"], seconds=seconds))
        stopped = ""
        for step in rounds.finish():
            if isinstance(step, Pause):
                count_in_progress(context["ti"], folder)
                return step
            log_step(self, step)
            count_step(context["ti"], step, max_queued_requests=rounds.rules.max_queued_requests)
            stopped = step.why if isinstance(step, RoundsStopped) else stopped
        receipt = self._publish(folder, plan, context, stopped=stopped)
        return self._finish(folder, plan, hook, context, receipt)

    def _finish(
        self, folder: ManifestFolder, plan: Plan, hook: ClaudeBatchHook, context: Context, receipt: Receipt
    ) -> dict[str, object]:
        """Delete what is to be deleted, and tell whoever listens; doing it again does nothing more."""
        if self.delete_after_load and (deleted := delete_batches(folder, plan, hook)):
            self.log.info("Deleted at Anthropic: %s", ", ".join(deleted))
        add_to_outlet_events(self, context, receipt, folder.uri)
        return receipt_to_xcom(receipt, folder.uri)

    def _open(self) -> tuple[ManifestFolder, Plan, ClaudeBatchHook]:
        references: list[SubmissionReference] = to_references(self.submission)
        if len(references) != 1:
            raise ClaudeBatchInputError(
                f"submission holds {len(references)} submissions and one destination takes one: map the "
                "transfer too."
            )
        self.linked_batch_ids = list(references[0].batch_ids)
        folder = ManifestFolder.at(references[0].manifest)
        plan, _ = require_plan(folder)
        return folder, plan, ClaudeBatchHook(self.claude_conn_id or plan.settings.claude_conn_id)

    def _publish(self, folder: ManifestFolder, plan: Plan, context: Context, *, stopped: str) -> Receipt:
        receipt = publish_submission(
            folder,
            plan,
            Destination.at(self.destination, map_index=context["ti"].map_index),
            how=self._layout(key=plan.settings.key),
            gate=Gate.of(self.max_error_rate, min_error_count=self.min_error_count),
            checks=self.checks,
            rounds_stopped=stopped,
            ti=context["ti"],
            now=datetime.now(UTC),
        )
        log_receipt(self, receipt)
        count_published(context["ti"], receipt)
        count_in_progress(context["ti"], folder)
        return receipt

    def _layout(self, *, key: Sequence[str]) -> PublishHow:
        return PublishHow.of(
            key=key,
            partition_by=self.partition_by,
            sort_by=self.sort_by,
            max_file_bytes=self.max_file_bytes,
            keep_old=self.keep_old,
        )

    def _wait(self, pause: Pause, context: Context, *, cancels_at_deadline: bool) -> None:
        if self.batch_ids is not None:
            wait_for_batches(self, pause)
            return
        folder, plan, hook = self._open()
        cancel_at = None
        if plan.deadline is not None and pause.is_for_results and cancels_at_deadline:
            cancel_at = plan.deadline.timestamp() - self.deadline_margin
        if not self.deferrable:
            if cancel_at is not None and datetime.now(UTC).timestamp() >= cancel_at:
                self._cancel_what_runs(folder.uri)
            sleep_in_worker(self, pause, poll_interval=self.poll_interval)
            return
        today = datetime.now(UTC).date()
        defer(
            self,
            pause,
            claude_conn_id=hook.claude_conn_id,
            manifest=folder.uri,
            poll_interval=self.poll_interval,
            cancel_at=cancel_at,
            expected_seconds=usual_seconds(folder.uri, dag_id=context["ti"].dag_id, today=today),
        )

    def _cancel_what_runs(self, manifest: str) -> None:
        _, _, hook = self._open()
        for batch_id in cancel_what_runs(ManifestFolder.at(manifest), hook):
            self.log.warning(
                "Batch %s is canceled for the submission's deadline: what is answered until then is billed "
                "and loaded, the rest comes out as canceled.",
                batch_id,
            )
