"""The notifier that tells people what a load has published and what it cost."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import msgspec
from airflow.sdk import BaseNotifier

from airflow_provider_claude_batch.core.receipt_to_text import receipt_to_text
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.reference import to_references

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from airflow.sdk import Context


class ClaudeBatchReportNotifier(BaseNotifier):
    """
    Send the receipt of what a load task has published: rows by outcome, tokens, dollars, time, files.

    For ``on_success_callback`` of a :class:`.ClaudeBatchToParquetOperator`. As ``on_failure_callback`` it
    says that nothing was published and where the records are. Costs nothing and sends no request; a callback
    that fails does not fail its task, and is not tried again.

    .. code-block:: python

        on_success_callback = ClaudeBatchReportNotifier(
            SlackNotifier(slack_conn_id="slack", text="{{ claude_batch_report }}")
        )

    :param send: Who is told: other notifiers, whose templates find the text as ``claude_batch_report`` and
        the receipt as the dict ``claude_batch_receipt`` (``None`` where nothing was published), or functions
        of the text.
    """

    def __init__(self, *send: BaseNotifier | Callable[[str], object], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not send:
            raise ClaudeBatchInputError(
                "ClaudeBatchReportNotifier has nobody to tell: give a notifier or a function of the text."
            )
        self.send = send

    def notify(self, context: Context) -> None:
        """Send one report for each submission of the task."""
        for manifest in _manifests(context):
            receipt = ManifestFolder.at(manifest).read_receipt()
            text = _no_receipt(context, manifest) if receipt is None else receipt_to_text(receipt)
            variables = {
                "claude_batch_report": text,
                "claude_batch_receipt": None if receipt is None else msgspec.to_builtins(receipt),
            }
            for send in self.send:
                if isinstance(send, BaseNotifier):
                    # It renders its own templates, once and for all, and puts the text in as it is.
                    copy(send)({**context, **variables})
                else:
                    send(text)


def _manifests(context: Context) -> list[str]:
    task = context["task"]
    references = to_references(getattr(task, "submission", None))
    if not references:
        raise ClaudeBatchInputError(
            f"task {task.task_id} has no submission: give ClaudeBatchReportNotifier to the task that loads."
        )
    return [reference.manifest for reference in references]


def _no_receipt(context: Context, manifest: str) -> str:
    ti = context["ti"]
    return (
        f"{ti.dag_id} / {ti.run_id} / {ti.task_id}: nothing was published\n\n"
        f"- what was sent and what a retry does: claude-batch show {manifest}"
    )
