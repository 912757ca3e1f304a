"""All receipts below a staging root: what was spent, read as one table by pandas, DuckDB and whoever else."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.estimate import output_of_runs
from airflow_provider_claude_batch.core.manifest import Receipt, from_json
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from airflow_provider_claude_batch.core.estimate import OutputPerRequest
    from airflow_provider_claude_batch.core.manifest import Plan

_DAY = re.compile(r"day=(\d{4}-\d\d-\d\d)")

#: Of earlier runs that say what answers are like.
_DAYS_BACK = 35
_MAX_RUNS = 20


def receipts_table(staging_root: str, since: date | None = None) -> pa.Table:
    """
    Return the receipts of all submissions that were published, one row each, oldest first.

    :param staging_root: URI or path below which manifest folders lie.
    :param since: Day of publishing, in UTC; unless given, all there are.
    :return: Columns and types are in ``receipts_to_arrow.RECEIPTS_SCHEMA``.
    :raises ManifestUnreadableError: A receipt cannot be read.
    """
    from airflow_provider_claude_batch.core.receipts_to_arrow import receipts_to_arrow

    return receipts_to_arrow(read_receipts(Folder.at(staging_root), since=since))


def read_receipts(
    root: Folder,
    *,
    since: date | None = None,
    on_unreadable: Callable[[ManifestUnreadableError], None] | None = None,
) -> Iterator[Receipt]:
    """
    Yield receipts, newest days first; a submission that was loaded on two days has one on each.

    :param root: The staging root.
    :param since: Day of publishing, in UTC; unless given, all there are.
    :param on_unreadable: Is told of a receipt that cannot be read, which is then left out.
    :raises ManifestUnreadableError: A receipt cannot be read, and nobody is to be told.
    """
    receipts = root.child("_receipts")
    for name in reversed(receipts.names()):
        match = _DAY.fullmatch(name)
        if match is None or (since is not None and date.fromisoformat(match[1]) < since):
            continue
        day = receipts.child(name)
        for file in day.names():
            data = day.read(file) if file.endswith(".json") else None
            if data is None:
                continue
            try:
                yield from_json(data, Receipt, where=f"{day.uri}/{file}")
            except ManifestUnreadableError as error:
                if on_unreadable is None:
                    raise
                on_unreadable(error)


def usual_output(plan: Plan, *, dag_id: str, now: datetime) -> OutputPerRequest | None:
    """
    Say what answers are like from the Dag's earlier runs with the same model, or ``None``.

    :param plan: Of the submission that is about to be sent; its staging root holds the receipts.
    :param now: With a zone.
    """
    if not plan.staging_root:
        return None
    since = (now.astimezone(UTC) - timedelta(days=_DAYS_BACK)).date()
    runs: list[tuple[int, int]] = []
    for receipt in read_receipts(Folder.at(plan.staging_root), since=since, on_unreadable=_ignore):
        if receipt.dag_id == dag_id and receipt.model == plan.settings.model:
            answered = receipt.billed_rows
            if answered is None:
                # Rows that were not asked have no tokens.
                answered = receipt.rows - receipt.reused_rows - receipt.outcomes.get("rejected", 0)
            if answered > 0:
                runs.append((answered, receipt.tokens.get("output", 0)))
        if len(runs) == _MAX_RUNS:
            break
    return output_of_runs(runs)


def _ignore(error: ManifestUnreadableError) -> None:
    """An estimate is worth no failure; who needs the receipt itself is told."""
