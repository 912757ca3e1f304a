"""The sensor that waits for batches to end, in the triggerer or, without one, in a worker."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, conf
from airflow.sdk import BaseSensorOperator

from airflow_provider_claude_batch.core.poll_decision import decide
from airflow_provider_claude_batch.errors import BatchWaitTimeoutError, ClaudeBatchInputError
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.links.batch import ClaudeBatchLink
from airflow_provider_claude_batch.submission.deadline import (
    DEADLINE_MARGIN_SECONDS,
    cancel_what_runs,
    earliest_deadline,
)
from airflow_provider_claude_batch.submission.history import usual_seconds
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.reference import SubmissionReference, to_references
from airflow_provider_claude_batch.triggers.batch import ClaudeBatchTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

#: The API lets a batch run for 24 hours; one more for the end to be seen.
DEFAULT_TIMEOUT_SECONDS = 25 * 3600.0

#: After a cancel for a deadline that the API did not take.
_CANCEL_AGAIN_SECONDS = 30.0


class ClaudeBatchSensor(BaseSensorOperator):
    """
    Wait until all batches of a submission have ended.

    Deferred, it holds no worker: a trigger looks at the batches from the triggerer, with one call for all
    waits of a connection. Whatever happens to the task, the batches go on; a retry waits for the same batches
    again, and no longer than the first try would have.

    Where the submission has a ``deadline``, the sensor cancels what has not ended a margin before it, waits
    for the end, and lets the load take what was answered; the rest is in the dataset as ``canceled`` and is
    not billed.

    :param submission: Output of a :class:`~.ClaudeBatchSubmitOperator`, mapped or not, or a manifest URI.
        (templated)
    :param batch_ids: Batches made elsewhere, instead of ``submission``. (templated)
    :param claude_conn_id: Connection of type ``anthropic``; default: the submission's own, else
        ``anthropic_default``. (templated)
    :param deferrable: Wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: Seconds between looks; ``None`` for a tenth of the batches' age, between one and ten
        minutes. With ``deferrable=False`` Airflow's own ``poke_interval`` counts.
    :param timeout: Seconds from the creation of the youngest batch until the task gives up waiting; default
        25 hours. The batches go on. In ``reschedule`` and ``poke`` mode Airflow counts it from the first try.
    :param deadline_margin: Seconds before a submission's deadline at which what has not ended is canceled.
    """

    template_fields: Sequence[str] = ("submission", "batch_ids", "claude_conn_id")
    operator_extra_links = (ClaudeBatchLink(),)
    ui_color = "#e4dcf2"

    def __init__(
        self,
        *,
        submission: object = None,
        batch_ids: Sequence[str] | None = None,
        claude_conn_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        deadline_margin: float = DEADLINE_MARGIN_SECONDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        if (submission is None) == (batch_ids is None):
            raise ClaudeBatchInputError("Give either submission or batch_ids.")
        self.submission = submission
        self.batch_ids = batch_ids
        self.claude_conn_id = claude_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.deadline_margin = deadline_margin

    @property
    def linked_batch_ids(self) -> list[str]:
        """Batches that the extra link opens."""
        return self._awaited()[1]

    def execute(self, context: Context) -> None:
        """Wait, deferred or by poking."""
        conn_id, batch_ids = self._awaited()
        if not batch_ids:
            self.log.info("The submission has no batches: there is nothing to wait for.")
            return
        if not self.deferrable:
            super().execute(context)
            return
        if self._have_ended(conn_id, batch_ids):
            self.log.info("All %d batches have ended.", len(batch_ids))
            return
        self._defer(conn_id, batch_ids, context, cancel_at=self._cancel_at())

    def _have_ended(self, conn_id: str, batch_ids: list[str]) -> bool:
        """
        Look once before deferring.

        A trigger that fires at once has the task queued again before a busy scheduler has read the report of
        its first leg, which Airflow then takes for a failed try.
        """
        from anthropic import APIError

        try:
            listing = ClaudeBatchHook(conn_id).list_batches()
        except APIError:
            return False
        return set(batch_ids) <= {batch.batch_id for batch in listing.batches if batch.has_ended}

    def _defer(
        self, conn_id: str, batch_ids: list[str], context: Context, *, cancel_at: float | None
    ) -> None:
        self.defer(
            trigger=ClaudeBatchTrigger(
                claude_conn_id=conn_id,
                batch_ids=batch_ids,
                timeout_at=time.time() + self.timeout,
                poll_interval=self.poll_interval,
                timeout_seconds=self.timeout,
                cancel_at=cancel_at,
                expected_seconds=self._expected_seconds(context),
            ),
            method_name="execute_complete",
            # The trigger reports a late wait by itself; this is for one that no triggerer looks at.
            timeout=timedelta(seconds=self.timeout + 600),
        )

    def _cancel_at(self) -> float | None:
        """Return when what has not ended is to be canceled, in epoch seconds."""
        deadline = earliest_deadline(self._manifests())
        return None if deadline is None else deadline.timestamp() - self.deadline_margin

    def _manifests(self) -> list[str]:
        return [] if self.submission is None else [r.manifest for r in to_references(self.submission)]

    def _expected_seconds(self, context: Context) -> float | None:
        manifests = self._manifests()
        if not manifests:
            return None
        return usual_seconds(manifests[0], dag_id=context["ti"].dag_id, today=datetime.now(UTC).date())

    def poke(self, context: Context) -> bool:
        """Return whether all batches have ended."""
        conn_id, batch_ids = self._awaited()
        hook = ClaudeBatchHook(conn_id)
        seen = self._look(hook, batch_ids)
        # Airflow's own timeout ends a poking sensor.
        now, cancel_at = time.time(), self._cancel_at()
        decision = decide(batch_ids, seen=seen, now=now, timeout_at=math.inf, cancel_at=cancel_at)
        self.log.debug("%d of %d batches have not ended", len(decision.waiting), len(batch_ids))
        if decision.action == "deadline":
            self._cancel_the_rest(hook)
        return decision.action == "ended"

    def _cancel_the_rest(self, hook: ClaudeBatchHook) -> bool:
        """Cancel what runs, and return whether that was possible."""
        from anthropic import APIError

        try:
            for manifest in self._manifests():
                for batch_id in cancel_what_runs(ManifestFolder.at(manifest), hook):
                    self.log.warning(
                        "Batch %s is canceled for the submission's deadline: what is answered until then is "
                        "billed and loaded, the rest comes out as canceled.",
                        batch_id,
                    )
        except APIError as error:
            self.log.warning(
                "The deadline is near and what runs cannot be canceled (%s): it is tried again.",
                type(error).__name__,
            )
            return False
        return True

    def _look(self, hook: ClaudeBatchHook, batch_ids: Sequence[str]) -> dict[str, str]:
        from anthropic import APIError

        seen: dict[str, str] = {}
        for batch_id in batch_ids:
            try:
                seen[batch_id] = hook.retrieve_batch(batch_id).processing_status
            except APIError as error:
                self.log.warning(
                    "The API cannot be asked about %s (%s). The batch goes on; the next look comes as "
                    "planned.",
                    batch_id,
                    type(error).__name__,
                )
        return seen

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """
        End the wait with what the trigger reported.

        :raises BatchWaitTimeoutError: The time is up and not all batches have ended, or they are gone.
        """
        waiting: list[str] = event["waiting"]
        if event["status"] == "deadline":
            conn_id, batch_ids = self._awaited()
            is_done = self._cancel_the_rest(ClaudeBatchHook(conn_id))
            again = None if is_done else time.time() + _CANCEL_AGAIN_SECONDS
            self._defer(conn_id, batch_ids, context, cancel_at=again)
        if event["status"] in ("late", "gone"):
            happened = f"have not ended within {self.timeout:.0f} s of the creation of the youngest"
            if event["status"] == "gone":
                happened = "are no longer there: deleted, or of another workspace"
            message = (
                f"{len(waiting)} of {len(event['batch_ids'])} batches {happened}: {', '.join(waiting)}. They "
                "were left alone; a retry looks at them again."
            )
            if self.soft_fail:
                raise AirflowSkipException(message)
            raise BatchWaitTimeoutError(message)
        self.log.info("All %d batches have ended.", len(event["batch_ids"]))

    def _awaited(self) -> tuple[str, list[str]]:
        """Return connection and batches."""
        if self.batch_ids is not None:
            return self.claude_conn_id or ClaudeBatchHook.default_conn_name, _named(self.batch_ids)
        references: list[SubmissionReference] = to_references(self.submission)
        conn_ids = {self.claude_conn_id or reference.claude_conn_id for reference in references}
        if len(conn_ids) > 1:
            raise ClaudeBatchInputError(
                f"The submissions are of several connections ({', '.join(sorted(conn_ids))}): wait for each "
                "by itself."
            )
        batch_ids = [batch_id for reference in references for batch_id in reference.batch_ids]
        if not batch_ids and any(reference.request_count for reference in references):
            raise ClaudeBatchInputError(
                "The submission is a plan that was not sent: wait for the task that sends it."
            )
        return next(iter(conn_ids), ClaudeBatchHook.default_conn_name), batch_ids


def _named(batch_ids: Sequence[str]) -> list[str]:
    """Return what the author gave as ids; each counts once."""
    if isinstance(batch_ids, str):
        raise ClaudeBatchInputError("batch_ids is a text: give a list, such as submit.output['batch_ids'].")
    if not all(isinstance(batch_id, str) and batch_id for batch_id in batch_ids):
        raise ClaudeBatchInputError("batch_ids has members that are not the id of a batch.")
    return list(dict.fromkeys(batch_ids))
