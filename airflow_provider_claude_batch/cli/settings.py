"""What the provider config decides, where it is to be known without a connection."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_claude_batch.core.limits import MAX_REQUESTS

_SECTION = "claude_batch"
_GRACE_SECONDS = 900.0


def lost_create_grace() -> timedelta:
    """Return how long a batch whose create's answer was lost is looked for."""
    from airflow.providers.common.compat.sdk import conf

    return timedelta(seconds=conf.getfloat(_SECTION, "lost_create_grace_seconds", fallback=_GRACE_SECONDS))


def max_requests_per_batch() -> int:
    """Return how many requests the largest shard has."""
    from airflow.providers.common.compat.sdk import conf

    configured: int = conf.getint(_SECTION, "max_requests_per_batch", fallback=MAX_REQUESTS)
    return min(configured, MAX_REQUESTS)
