"""What the deployment decides about sending: the provider config, and the connection where it knows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import MAX_BODY_BYTES, MAX_REQUESTS
from airflow_provider_claude_batch.core.requests_to_shards import ShardCutter
from airflow_provider_claude_batch.submission.send import SendRules

if TYPE_CHECKING:
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook

#: The SDK gives a create 600 s, unless the connection says otherwise, and the list is given five minutes.
_GRACE_SECONDS = 900.0
_LIST_SECONDS = 300.0

#: Of the lowest tier. https://platform.claude.com/docs/en/api/rate-limits, read 2026-11-22.
_MAX_QUEUED_REQUESTS = 200_000


def send_rules(hook: ClaudeBatchHook) -> SendRules:
    """
    Return the rules that shards are sent by.

    :param hook: Of the connection, whose extra ``max_queued_requests`` wins over the config.
    """
    from airflow.providers.common.compat.sdk import conf

    configured = conf.getint("claude_batch", "max_queued_requests", fallback=_MAX_QUEUED_REQUESTS)
    grace = conf.getfloat("claude_batch", "lost_create_grace_seconds", fallback=_GRACE_SECONDS)
    if grace == _GRACE_SECONDS:
        grace = max(grace, hook.create_timeout_seconds + _LIST_SECONDS)
    return SendRules(
        grace=timedelta(seconds=grace),
        max_queued_requests=hook.max_queued_requests or configured,
    )


def shard_cutter(identity: str) -> ShardCutter:
    """
    Return what cuts a submission's requests into shards.

    :param identity: Of the submission.
    """
    from airflow.providers.common.compat.sdk import conf

    most = conf.getint("claude_batch", "max_requests_per_batch", fallback=MAX_REQUESTS)
    largest = conf.getint("claude_batch", "max_bytes_per_batch", fallback=MAX_BODY_BYTES)
    return ShardCutter(
        max_requests=min(most, MAX_REQUESTS), max_bytes=min(largest, MAX_BODY_BYTES), seed=identity
    )
