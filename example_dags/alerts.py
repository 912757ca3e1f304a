"""
Mail people when batches go wrong, by the two alerts that everybody who runs batches comes to.

- **failure_rate** fails where a submission that was published within the last day has more than 1 % of rows
  without a usable answer.
- **in_progress** fails where the workspace had more batches in progress at every look, an hour apart, than
  at the one before: batches come in and do not end.

A task that fails is the alert, and its `on_failure_callback` tells people: with every run, for as long as it
holds, and also where the look itself fails. Any of Airflow's notifiers can stand in place of the mail. Where
a run has not finished within ten minutes, the Dag's deadline tells so; deadlines are experimental in Airflow
3.1 to 3.3, and need a triggerer.

Looking is free and sends nothing. A load that its gate has stopped has published nothing and is not seen
here: give it an `on_failure_callback` of its own. Nor are batches seen that were deleted: with
`delete_after_load`, raise `least_batches` above what usually runs.

It needs the connections `smtp_default` and that of the workspace, and the staging root where tasks of this
Dag see it.
"""

# [START alerts]
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG, Param, task
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

from airflow_provider_claude_batch.core.costs import latest_receipts
from airflow_provider_claude_batch.core.receipt_to_text import receipt_to_text
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.receipts import read_receipts
from airflow_provider_claude_batch.submission.staging import staging_root
from airflow_provider_claude_batch.submission.storage import Folder

ON_CALL = "data-on-call@example.com"

#: No batch runs longer than a day.
LONGEST = timedelta(hours=25)


def mail(about: str) -> SmtpNotifier:
    """Return what mails the reason why a task has failed."""
    return SmtpNotifier(
        to=ON_CALL, subject=f"Claude batches: {about}", html_content="<pre>{{ exception | e }}</pre>"
    )


with DAG(
    dag_id="alerts",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["claude", "batch", "maintenance"],
    doc_md=__doc__,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=10),
        callback=AsyncCallback(
            SmtpNotifier,
            kwargs={
                "to": ON_CALL,
                "subject": "Claude batches are not watched",
                "html_content": "The Dag alerts has not finished within ten minutes.",
            },
        ),
    ),
    params={
        "hours": Param(24, type="number", minimum=1, description="How long published submissions count."),
        "max_failure_rate": Param(
            0.01, type="number", minimum=0, maximum=1, description="Share of rows without a usable answer."
        ),
        "looks": Param(4, type="integer", minimum=2, description="Hourly looks, each with more batches."),
        "least_batches": Param(2, type="integer", minimum=1, description="Fewer in progress are no alert."),
        "claude_conn_id": Param("anthropic_default", type="string", description="Of the workspace."),
        "staging_path": Param("", type="string", description="Empty: [claude_batch] staging_path."),
    },
) as alerts:

    @task(on_failure_callback=mail("failure rate"))
    def failure_rate(params: dict[str, Any]) -> int:
        """Fail with the receipts of submissions that have too many failed rows; return how many were seen."""
        since = datetime.now(UTC) - timedelta(hours=params["hours"])
        read = read_receipts(Folder.at(staging_root(params["staging_path"])), since=since.date())
        receipts = [receipt for receipt in latest_receipts(read) if receipt.published_at >= since]
        bad = [
            receipt_to_text(receipt)
            for receipt in receipts
            if receipt.rows
            and (receipt.rows - receipt.outcomes.get("ok", 0)) / receipt.rows > params["max_failure_rate"]
        ]
        if bad:
            raise AirflowFailException("\n\n".join(bad))
        return len(receipts)

    @task(on_failure_callback=mail("in progress"))
    def in_progress(params: dict[str, Any]) -> list[int]:
        """Fail where the number of batches in progress has only grown; return it for each look."""
        now = datetime.now(UTC)
        looks = [now - timedelta(hours=hours) for hours in reversed(range(params["looks"]))]
        with ClaudeBatchHook(params["claude_conn_id"]).client as client:
            newest = client.messages.batches.list(limit=1000)
            batches = [*takewhile(lambda b: b.created_at > looks[0] - LONGEST, newest)]
        counts = [
            sum(b.created_at <= look and (b.ended_at is None or b.ended_at > look) for b in batches)
            for look in looks
        ]
        if counts[-1] >= params["least_batches"] and all(a < b for a, b in pairwise(counts)):
            raise AirflowFailException(
                f"Batches in progress, hour by hour: {counts}. They were left alone: claude-batch list"
            )
        return counts

    failure_rate()
    in_progress()
# [END alerts]
