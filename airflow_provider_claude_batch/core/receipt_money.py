"""What a submission cost, kind by kind, and what it would have cost otherwise. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.cache_use import cache_saving
from airflow_provider_claude_batch.core.prices import PRICED_KINDS, PROMPT_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_claude_batch.core.prices import ModelPrices

_MILLION = Decimal(1_000_000)
_PICO = Decimal("0.000000000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """
    Dollars of a submission.

    :param by_kind: Of tokens; together they are the cost.
    :param list_usd: What the same tokens cost outside batches.
    :param saved_usd: Against not using a ``batch``, the prompt ``cache``, or answers that were there
        (``reuse``). Less than 0 where cache writes cost more than the reads saved.
    """

    by_kind: dict[str, Decimal]
    list_usd: Decimal
    saved_usd: dict[str, Decimal]


def to_money(
    tokens: Mapping[str, int],
    cost_usd: Decimal,
    prices: ModelPrices,
    *,
    rows: int,
    reuse_usd: Decimal = Decimal(0),
) -> Money:
    """
    Divide what was paid.

    Where a price depends on the length of the prompt, that of the average one decides how the cost is
    divided; the cost itself is what the rows say.

    :param tokens: Sums by kind, disjoint.
    :param cost_usd: Of all of them, as it was counted row by row.
    :param rows: That were asked.
    :param reuse_usd: What answers that were not asked for cost when they were.
    """
    prompt = sum(tokens.get(kind, 0) for kind in PROMPT_KINDS)
    tier = prices.tier_of(prompt // max(rows, 1))
    parts = {kind: tokens.get(kind, 0) * tier.batch[kind] for kind in PRICED_KINDS if tokens.get(kind)}
    listed = sum((tokens.get(kind, 0) * tier.standard[kind] for kind in PRICED_KINDS), Decimal(0))
    counted = sum(parts.values(), Decimal(0))
    # Other tiers, other regions: the rows know better.
    factor = cost_usd / counted if counted else Decimal(0)
    list_usd = (listed * factor).quantize(_PICO)
    saved = {"batch": list_usd - cost_usd}
    if any(tokens.get(kind) for kind in PROMPT_KINDS if kind != "input"):
        saved["cache"] = cache_saving(tokens, prices, rows=rows)
    if reuse_usd:
        saved["reuse"] = reuse_usd
    return Money(
        by_kind={kind: (part * factor).quantize(_PICO) for kind, part in parts.items()},
        list_usd=list_usd,
        saved_usd=saved,
    )
