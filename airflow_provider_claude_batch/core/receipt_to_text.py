"""A receipt for people: plain text that is Markdown too. Pure; names, counts and dollars, no row's text."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.estimate import short_count, to_usd
from airflow_provider_claude_batch.core.prices import PROMPT_KINDS

if TYPE_CHECKING:
    from airflow_provider_claude_batch.core.manifest import Receipt

_MAX_FILES = 5
_MINUTE = 60
_HOUR = 3_600


def receipt_to_text(receipt: Receipt) -> str:
    """
    Return a headline and a list: rows, tokens, dollars, time and files.

    :param receipt: Of one submission.
    """
    map_index = f"[{receipt.map_index}]" if receipt.map_index >= 0 else ""
    name = f"{receipt.dag_id} / {receipt.run_id} / {receipt.task_id}{map_index}"
    lines = [
        f"{name}: {receipt.rows:,} rows published",
        "",
        f"- rows: {outcomes_to_text(receipt)}",
        f"- tokens: {_tokens(receipt)}",
        f"- cost: {_cost(receipt)}",
        f"- {receipt.model}, {_count(len(receipt.batch_ids), 'batch', 'batches')}, {_time(receipt)}",
        *(f"- {file}" for file in receipt.files[:_MAX_FILES]),
    ]
    if (more := len(receipt.files) - _MAX_FILES) > 0:
        lines.append(f"- and {_count(more, 'more file', 'more files')}")
    return "\n".join(lines)


def seconds_to_text(seconds: float) -> str:
    """Return ``42 s``, ``12 min``, ``1 h 30 min``."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE)
    if seconds < _HOUR:
        return f"{minutes} min"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE} min"


def outcomes_to_text(receipt: Receipt) -> str:
    """Return ``28 ok, 2 refused; 20 paid for earlier``."""
    text = ", ".join(f"{count:,} {outcome}" for outcome, count in receipt.outcomes.items()) or "none"
    return f"{text}; {receipt.reused_rows:,} paid for earlier" if receipt.reused_rows else text


def _tokens(receipt: Receipt) -> str:
    prompt = sum(receipt.tokens.get(kind, 0) for kind in PROMPT_KINDS)
    cached = receipt.tokens.get("cache_read", 0)
    share = f" ({100 * cached / prompt:.0f} % from the cache)" if cached else ""
    return f"{short_count(prompt)} in{share}, {short_count(receipt.tokens.get('output', 0))} out"


def _cost(receipt: Receipt) -> str:
    if receipt.cost_usd is None:
        return f"not known; there is no price of {receipt.model}"
    cost = Decimal(receipt.cost_usd)
    text = to_usd(cost)
    if receipt.rows:
        text += f", {to_usd(1_000 * cost / receipt.rows)} per 1,000 rows"
    if receipt.list_cost_usd is not None:
        text += f" (list price {to_usd(Decimal(receipt.list_cost_usd))})"
    return text


def _time(receipt: Receipt) -> str:
    whole = seconds_to_text((receipt.published_at - receipt.created_at).total_seconds())
    longest = max(receipt.batch_seconds, default=None)
    rounds = _count(receipt.rounds, "round", "rounds")
    return f"{rounds}, {whole}" + (f", longest batch {seconds_to_text(longest)}" if longest else "")


def _count(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"
