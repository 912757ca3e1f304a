"""What the prompt cache did for a submission: from how many reads on it pays, and what it saved. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import floor
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.estimate import to_usd
from airflow_provider_claude_batch.core.prices import PROMPT_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_claude_batch.core.prices import ModelPrices

_WRITES = ("cache_write_5m", "cache_write_1h")
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class BreakEven:
    """
    From when on a mark costs less than none.

    :param reads: Of one write.
    :param hit_rate: Share of the requests that read, where every other one writes.
    """

    reads: int
    hit_rate: float


def break_even(prices: ModelPrices, *, ttl: str, prompt_tokens: int = 0) -> BreakEven | None:
    """
    Return from when on it pays to write a prefix; ``None`` where reading it is no cheaper than sending it.

    :param ttl: ``5m`` or ``1h``.
    :param prompt_tokens: Of a whole prompt, where the price depends on it.
    """
    usd = prices.tier_of(prompt_tokens).batch
    write, read, plain = usd.get(f"cache_write_{ttl}"), usd["cache_read"], usd["input"]
    if write is None or read >= plain:
        return None
    extra = max(write - plain, Decimal(0))
    return BreakEven(floor(extra / (plain - read)) + 1, float(extra / (extra + plain - read)))


@dataclass(frozen=True, slots=True)
class CacheUse:
    """
    What became of what was marked for the cache.

    :param hit_rate: Cache reads as a share of cache reads and writes, in tokens, 0 to 1.
    :param saved_usd: Against the same prompts without a mark; less than 0 where the writes cost more than the
        reads saved; ``None`` where the prices are not known.
    """

    hit_rate: float
    saved_usd: Decimal | None

    def to_text(self) -> str:
        """Return it for the log."""
        rate = f"prompt cache: {self.hit_rate:.1%} of the marked tokens were read"
        if self.saved_usd is None:
            return rate
        if self.saved_usd < 0:
            return f"{rate}, which cost {to_usd(-self.saved_usd)} more than no cache"
        return f"{rate}, which saved {to_usd(self.saved_usd)}"


def cache_use(tokens: Mapping[str, int], prices: ModelPrices | None, *, rows: int) -> CacheUse | None:
    """
    Say what the cache did for a submission; ``None`` where nothing was written or read.

    :param tokens: Sums by kind, as a receipt has them.
    :param prices: Of the model.
    :param rows: That the tokens are of: where a price depends on the length of the prompt, that of the
        average one counts.
    """
    read, written = tokens.get("cache_read", 0), sum(tokens.get(kind, 0) for kind in _WRITES)
    if not read + written:
        return None
    return CacheUse(
        read / (read + written), None if prices is None else cache_saving(tokens, prices, rows=rows)
    )


def cache_saving(tokens: Mapping[str, int], prices: ModelPrices, *, rows: int) -> Decimal:
    """Return the dollars that cache reads saved, less what cache writes cost more than plain input."""
    prompt = sum(tokens.get(kind, 0) for kind in PROMPT_KINDS)
    usd = prices.tier_of(prompt // max(rows, 1)).batch
    cached = ("cache_read", *_WRITES)
    saved = sum((tokens.get(kind, 0) * (usd["input"] - usd[kind]) for kind in cached), Decimal(0))
    return saved / _MILLION
