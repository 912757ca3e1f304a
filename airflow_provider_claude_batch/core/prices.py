"""
What tokens cost in a batch, looked up once a model and multiplied by columns.

Imports genai-prices, which takes half a second, and pyarrow inside functions only: this module is reached
from a Dag file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, cast

from airflow_provider_claude_batch.core.own_prices import check_own_prices, find_own_prices

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import pyarrow as pa
    from genai_prices.types import ModelPrice

#: Kinds of tokens with a price of their own, and what genai-prices calls it. The counts are disjoint.
_LIBRARY_NAMES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "cache_read": "cache_read_mtok",
}
PRICED_KINDS = tuple(_LIBRARY_NAMES)
PROMPT_KINDS = tuple(kind for kind in PRICED_KINDS if kind != "output")

#: Of the list price of every kind of token, on every date. https://platform.claude.com/docs/en/about-claude/
#: pricing#batch-processing, read 2026-11-22. What genai-prices knows of batches begins at 2026-10-14.
BATCH_SHARE = Decimal("0.5")

#: Of a request that ran with ``inference_geo: "us"``, which only models from 4.6 on take. https://
#: platform.claude.com/docs/en/build-with-claude/data-residency, read 2026-11-22.
US_FACTOR = Decimal("1.1")

#: Where a model has no cache prices of its own: multiples of its input price. https://platform.claude.com/
#: docs/en/build-with-claude/prompt-caching#pricing, read 2026-11-22.
_OF_INPUT = {"cache_write_5m": Decimal("1.25"), "cache_write_1h": Decimal(2), "cache_read": Decimal("0.1")}

#: The largest context window there is. https://platform.claude.com/docs/en/about-claude/models/overview, read
#: 2026-11-22.
_LARGEST_CONTEXT = 1_000_000

_PICOS = Decimal(1_000_000_000_000)
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTier:
    """
    US dollars per million tokens, for prompts of more than ``above_tokens`` tokens.

    :param above_tokens: Of the whole prompt: input, cache writes and cache reads. 0 for the lowest tier.
    :param batch: By kind, in a batch.
    :param standard: By kind, as listed for calls outside batches.
    """

    above_tokens: int
    batch: Mapping[str, Decimal]
    standard: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """
    The prices of one model.

    :param tiers: From short prompts to long ones; the first is ``above_tokens=0``.
    :param context_tokens: Of the model's context window: no prompt is longer.
    """

    tiers: tuple[PriceTier, ...]
    context_tokens: int = _LARGEST_CONTEXT

    def tier_of(self, prompt_tokens: int) -> PriceTier:
        """Return the tier that all tokens of a request with such a prompt are billed at."""
        return next(
            (tier for tier in reversed(self.tiers) if prompt_tokens > tier.above_tokens), self.tiers[0]
        )

    def cost_usd(self, tokens: Mapping[str, int], *, geo: str | None = None) -> Decimal:
        """
        Return what one request costs in a batch.

        :param tokens: By kind; absent ones are 0.
        """
        tier = self.tier_of(sum(tokens.get(kind, 0) for kind in PROMPT_KINDS))
        cost = sum((tokens.get(kind, 0) * tier.batch[kind] for kind in PRICED_KINDS), Decimal(0)) / _MILLION
        return cost * geo_factor(geo)


def geo_factor(geo: str | None) -> Decimal:
    """Return the multiplier of ``usage.inference_geo``, or of the request parameter of that name."""
    return US_FACTOR if geo == "us" else Decimal(1)


@dataclass(frozen=True, slots=True)
class PriceList:
    """
    Prices of one day. Make it by :meth:`at`.

    :param own: Prices that win over the list's, checked.
    """

    when: datetime
    own: Mapping[str, Mapping[str, Decimal]]
    _found: dict[str, ModelPrices | None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def at(cls, when: datetime, *, own: Mapping[str, Mapping[str, Decimal | str]] | None = None) -> PriceList:
        """
        Return the prices of batches created at ``when``.

        :param when: With a zone.
        :param own: By model, with or without its date, US dollars per million tokens in a batch by kind:
            ``{"claude-haiku-5-5": {"input": "0.04", "output": "0.2"}}``. A kind that is left out keeps its
            list price; a model that is not on the list needs ``input`` and ``output``, and its cache prices
            follow from ``input`` as everywhere. What is given holds for prompts of every length.
        :raises ClaudeBatchInputError: A kind is unknown, or a price is no number of dollars.
        """
        return cls(when, check_own_prices(own or {}, kinds=PRICED_KINDS))

    def of(self, model: str) -> ModelPrices | None:
        """Return the prices of a model, or ``None`` where they are not known."""
        if model not in self._found:
            self._found[model] = self._look_up(model)
        return self._found[model]

    def costs_usd(
        self, models: pa.Array, tokens: Mapping[str, pa.Array], geos: pa.Array | None = None
    ) -> pa.Array:
        """
        Return what each row costs in a batch.

        :param models: Model of each row.
        :param tokens: By kind of :data:`PRICED_KINDS`, one integer a row; null is 0. A row is one request:
            its tier is that of its own prompt.
        :param geos: ``usage.inference_geo`` of each row.
        :return: decimal128(20, 12): 0 where a row has no tokens, null where it has some and the price of
            its model is not known.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        counts = {kind: pc.fill_null(tokens[kind].cast(pa.int64()), 0) for kind in PRICED_KINDS}
        prompt = reduce(pc.add, (counts[kind] for kind in PROMPT_KINDS))
        names = models.cast(pa.string())
        # Whole pico-dollars: every list price is a whole number of them per token, and so is a tenth more.
        picos = pa.nulls(len(names), pa.int64())
        for model in pc.unique(names).drop_null().to_pylist():
            prices = self.of(model)
            if prices is not None:
                is_model = pc.fill_null(pc.equal(names, model), fill_value=False)
                picos = pc.if_else(is_model, _row_picos(prices, counts, prompt), picos)
        if geos is not None:
            is_us = pc.fill_null(pc.equal(geos.cast(pa.string()), "us"), fill_value=False)
            in_us = pc.divide(pc.add(pc.multiply_checked(picos, 11), 5), 10)
            picos = pc.if_else(is_us, in_us, picos)
        picos = pc.if_else(pc.equal(pc.add(prompt, counts["output"]), 0), 0, picos)
        one_pico = pa.scalar(1 / _PICOS, pa.decimal128(12, 12))
        return pc.multiply(picos.cast(pa.decimal128(19, 0)), one_pico).cast(pa.decimal128(20, 12))

    def _look_up(self, model: str) -> ModelPrices | None:
        listed = _listed_prices(model, self.when)
        own = find_own_prices(self.own, model)
        if own is None:
            return listed
        if listed is None:
            if not {"input", "output"} <= own.keys():
                return None
            return ModelPrices((_make_tier(0, batch=own, standard={}),))
        return replace(listed, tiers=tuple(_with_own(tier, own) for tier in listed.tiers))


def _row_picos(prices: ModelPrices, counts: Mapping[str, pa.Array], prompt: pa.Array) -> pa.Array:
    """Return what each row would cost if it were of this model, in pico-dollars."""
    import pyarrow.compute as pc

    cost = None
    for tier in prices.tiers:
        parts = [pc.multiply_checked(counts[kind], _unit_picos(tier.batch[kind])) for kind in PRICED_KINDS]
        of_tier = reduce(pc.add_checked, parts)
        cost = of_tier if cost is None else pc.if_else(pc.greater(prompt, tier.above_tokens), of_tier, cost)
    return cost


def _unit_picos(usd_per_million: Decimal) -> int:
    return round(usd_per_million * _PICOS / _MILLION)


def _with_own(tier: PriceTier, own: Mapping[str, Decimal]) -> PriceTier:
    return PriceTier(
        above_tokens=tier.above_tokens,
        batch={**tier.batch, **own},
        standard={**tier.standard, **{kind: price / BATCH_SHARE for kind, price in own.items()}},
    )


def _make_tier(
    above_tokens: int, *, batch: Mapping[str, Decimal], standard: Mapping[str, Decimal]
) -> PriceTier:
    """Make a tier of what is known: a batch is half the list, and cache prices follow from the input's."""
    listed = {kind: price / BATCH_SHARE for kind, price in batch.items()} | dict(standard)
    listed = {
        kind: listed[kind] if kind in listed else listed["input"] * _OF_INPUT[kind] for kind in PRICED_KINDS
    }
    in_batch = {kind: batch.get(kind, listed[kind] * BATCH_SHARE) for kind in PRICED_KINDS}
    return PriceTier(above_tokens=above_tokens, batch=in_batch, standard=listed)


def _listed_prices(model: str, when: datetime) -> ModelPrices | None:
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import TieredPrices

    try:
        _, found = get_snapshot().find_provider_model(model, None, "anthropic", None)
    except LookupError:
        return None
    standard = found.get_prices(when)
    batch = found.get_prices(when, {"processing": "batch"})
    starts = {
        tier.start
        for price in standard.__dict__.values()
        if isinstance(price, TieredPrices)
        for tier in price.tiers
    }
    tiers = []
    for above in sorted({0, *starts}):
        listed = _prices_above(standard, above)
        # Where the library has no batch price of the date, it returns the list price without a word.
        in_batch = {kind: p for kind, p in _prices_above(batch, above).items() if p != listed.get(kind)}
        tiers.append(_make_tier(above, batch=in_batch, standard=listed))
    return ModelPrices(tuple(tiers), found.context_window or _LARGEST_CONTEXT)


def _prices_above(prices: ModelPrice, above_tokens: int) -> dict[str, Decimal]:
    """Return the prices of prompts of more than ``above_tokens``, of the kinds that the library has."""
    from genai_prices.types import TieredPrices

    found = {}
    for kind, name in _LIBRARY_NAMES.items():
        price = cast("Decimal | TieredPrices | None", getattr(prices, name))
        if isinstance(price, TieredPrices):
            reached = [tier.price for tier in price.tiers if tier.start <= above_tokens]
            price = reached[-1] if reached else price.base
        if price is not None:
            found[kind] = price
    return found
