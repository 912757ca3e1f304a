"""What earlier receipts say of how long batches like these take."""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.manifest import Receipt, from_json
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

_DAYS = 8
_RECEIPTS = 50


def usual_seconds(manifest: str, *, dag_id: str, today: date) -> float | None:
    """
    Return the median time from creation to end of the Dag's batches of the last days, or ``None``.

    :param manifest: URI of a submission, whose staging root holds the receipts and whose model counts.
    :param today: The last day to look at, in UTC.
    """
    plan = ManifestFolder.at(manifest).read_plan()
    if plan is None or not plan.staging_root:
        return None
    seconds = [
        each
        for receipt in _receipts(Folder.at(plan.staging_root).child("_receipts"), today=today)
        if receipt.dag_id == dag_id and receipt.model == plan.settings.model
        for each in receipt.batch_seconds
    ]
    return median(seconds) if seconds else None


def _receipts(folder: Folder, *, today: date) -> Iterator[Receipt]:
    read = 0
    for days in range(_DAYS):
        day = folder.child(f"day={today - timedelta(days=days):%Y-%m-%d}")
        for name in day.names():
            data = day.read(name) if read < _RECEIPTS else None
            if data is None:
                continue
            read += 1
            try:
                yield from_json(data, Receipt, where=f"{day.uri}/{name}")
            except ManifestUnreadableError:
                # An estimate is worth no failure; who needs the receipt itself will be told.
                continue
