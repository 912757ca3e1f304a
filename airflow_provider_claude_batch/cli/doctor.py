"""``claude-batch doctor``: what a submission needs, checked one by one. Pays nothing."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.check_airflow import check_triggerer
from airflow_provider_claude_batch.cli.check_api import check_api
from airflow_provider_claude_batch.cli.check_staging import check_staging
from airflow_provider_claude_batch.submission.deployment import max_requests_per_batch

if TYPE_CHECKING:
    from argparse import Namespace


def run(given: Namespace) -> int:
    """Print one line a check as it is made; 1 where one failed."""
    requests = given.requests or max_requests_per_batch()
    has_failed = False
    for check in chain(
        check_api(given.claude_conn_id, requests=requests),
        check_staging(given.staging_path),
        check_triggerer(),
    ):
        has_failed |= check.level == "FAIL"
        print(f"{check.level:4}  {check.name:10}  {check.said}", flush=True)
    return 1 if has_failed else 0
