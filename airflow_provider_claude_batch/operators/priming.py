"""What the prompt cache can keep of the requests, said before they are sent, and whether one goes first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.cache_prefix import cache_prefix
from airflow_provider_claude_batch.core.cache_use import break_even
from airflow_provider_claude_batch.submission.pricing import price_list

if TYPE_CHECKING:
    from airflow_provider_claude_batch.core.cache_prefix import CacheMark
    from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator
    from airflow_provider_claude_batch.submission.spec import SubmissionSpec


def requests_ahead(asked: ClaudeBatchSubmitOperator, spec: SubmissionSpec) -> int:
    """
    Return how many requests go out before the others: the pilot, or one that writes the prompt cache.

    What is marked for the cache and cannot be read from it is logged with the place; the requests stay as
    they are.

    :raises ClaudeBatchInputError: The API would refuse the marks.
    """
    if spec.params is None:
        return asked.pilot_rows
    prefix = cache_prefix(spec.params)
    for problem in prefix.problems():
        asked.log.warning("%s. The requests are sent as they are.", problem)
    shared = prefix.shared
    if shared is None or not prefix.is_readable:
        return asked.pilot_rows
    why_not = _why_not_primed(asked, spec, shared)
    asked.log.info(
        "Prompt cache: %s.%s %s",
        prefix.to_text(),
        _break_even_text(shared, model=prefix.model),
        f"No request goes first: {why_not}." if why_not else "The first batch writes it, the rest follows.",
    )
    return asked.pilot_rows if why_not else max(asked.pilot_rows, 1)


def _why_not_primed(asked: ClaudeBatchSubmitOperator, spec: SubmissionSpec, shared: CacheMark) -> str | None:
    if asked.pilot_rows:
        return None
    if spec.cache_ttl is None:
        return "cache_ttl is not given"
    if not asked.prime_cache:
        return "prime_cache is off"
    if shared.ttl != "1h":
        return f"what is kept for {shared.ttl} is gone before the end of a batch has been seen"
    return None


def _break_even_text(shared: CacheMark, *, model: str) -> str:
    prices = price_list(datetime.now(UTC)).of(model)
    even = None if prices is None else break_even(prices, ttl=shared.ttl, prompt_tokens=shared.least_tokens)
    if even is None:
        return ""
    reads = "1 read" if even.reads == 1 else f"{even.reads} reads"
    return f" A {shared.ttl} write pays from {reads} on, or where {even.hit_rate:.0%} of the requests read."
