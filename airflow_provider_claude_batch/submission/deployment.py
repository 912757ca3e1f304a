"""What the deployment decides about sending: the provider config, and the connection where it knows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import MAX_BODY_BYTES, MAX_REQUESTS
from airflow_provider_claude_batch.core.requests_to_shards import ShardCutter
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.submission.send import SendRules
from airflow_provider_claude_batch.submission.shard_writer import PICOS

if TYPE_CHECKING:
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook

#: The SDK gives a create 600 s, unless the connection says otherwise, and the list is given five minutes.
_GRACE = timedelta(minutes=15)
_LIST_TIME = timedelta(minutes=5)

#: Under a cap, a submission is cut so that so many shards at least can be in flight.
_WAVES = 4

#: Of the lowest tier. https://platform.claude.com/docs/en/api/rate-limits, read 2026-11-22.
_MAX_QUEUED_REQUESTS = 200_000


def send_rules(hook: ClaudeBatchHook) -> SendRules:
    """
    Return the rules that shards are sent by.

    :param hook: Of the connection, whose extra ``max_queued_requests`` wins over the config.
    """
    from airflow.providers.common.compat.sdk import conf

    configured = conf.getint("claude_batch", "max_queued_requests", fallback=_MAX_QUEUED_REQUESTS)
    grace = lost_create_grace()
    if grace == _GRACE:
        grace = max(grace, timedelta(seconds=hook.create_timeout_seconds) + _LIST_TIME)
    return SendRules(
        grace=grace,
        max_queued_requests=hook.max_queued_requests or configured,
    )


def lost_create_grace() -> timedelta:
    """
    Return how long a batch whose create's answer was lost is looked for, as far as the config says.

    A connection with a longer timeout of its own makes it longer: see :func:`send_rules`.
    """
    from airflow.providers.common.compat.sdk import conf

    default = _GRACE.total_seconds()
    return timedelta(seconds=conf.getfloat("claude_batch", "lost_create_grace_seconds", fallback=default))


def max_requests_per_batch() -> int:
    """Return how many requests the largest shard has."""
    from airflow.providers.common.compat.sdk import conf

    configured: int = conf.getint("claude_batch", "max_requests_per_batch", fallback=MAX_REQUESTS)
    return min(configured, MAX_REQUESTS)


def shard_cutter(
    identity: str, *, first_requests: int | None = None, cap_usd: Decimal | None = None
) -> ShardCutter:
    """
    Return what cuts a submission's requests into shards.

    :param identity: Of the submission.
    :param first_requests: Requests of a pilot.
    :param cap_usd: What the submission may cost: no shard may be more than a quarter of it.
    """
    from airflow.providers.common.compat.sdk import conf

    largest = conf.getint("claude_batch", "max_bytes_per_batch", fallback=MAX_BODY_BYTES)
    return ShardCutter(
        max_requests=max_requests_per_batch(),
        max_bytes=min(largest, MAX_BODY_BYTES),
        seed=identity,
        first_requests=first_requests,
        max_weight=None if cap_usd is None else int(cap_usd * PICOS / _WAVES),
    )


def cap_usd(given: object) -> Decimal | None:
    """
    Return what a submission may cost: the task's word, else the deployment's, else ``None``.

    :param given: The task's ``max_cost_usd``, as it was rendered.
    :raises ClaudeBatchInputError: It is no number of dollars.
    """
    from airflow.providers.common.compat.sdk import conf

    text = str(given) if given not in (None, "") else conf.get("claude_batch", "max_cost_usd", fallback="")
    if not text:
        return None
    try:
        cap = Decimal(text)
    except InvalidOperation as error:
        raise ClaudeBatchInputError(f"max_cost_usd is {text!r}, no number. Nothing was sent.") from error
    if not cap.is_finite() or cap <= 0:
        raise ClaudeBatchInputError(f"max_cost_usd is {text}; it must be more than 0. Nothing was sent.")
    return cap
