"""Whether a triggerer is alive, as far as the metadata database can be read from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.checks import Check, fail, ok, warn
from airflow_provider_claude_batch.cli.text import to_time

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "triggerer"


def check_triggerer() -> Iterator[Check]:
    """Look for the newest heartbeat: without a triggerer no deferred task ever goes on."""
    from airflow.jobs.job import most_recent_job
    from sqlalchemy.exc import SQLAlchemyError

    try:
        job = most_recent_job("TriggererJob")
    except SQLAlchemyError as error:
        yield warn(
            _NAME,
            f"the metadata database cannot be read from here ({type(error).__name__}): run this where the "
            "scheduler runs, or look at the health of the triggerer in the UI",
        )
        return
    if job is None:
        yield fail(_NAME, "none has ever run, so deferred tasks never go on: start `airflow triggerer`")
    elif job.is_alive():
        yield ok(_NAME, f"alive on {job.hostname}, last heard of {to_time(job.latest_heartbeat)}")
    else:
        yield fail(
            _NAME,
            f"last heard of {to_time(job.latest_heartbeat)} on {job.hostname}: deferred tasks do not go on; "
            "start `airflow triggerer`. Batches go on meanwhile",
        )
