"""
The bill: tokens by kind and dollars, by model.

Counted from the messages as they were sent, at the list's prices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.emulator.models import Model, find_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_claude_batch.emulator.wire import JsonObject

_MILLION = Decimal(1_000_000)
_US_SURCHARGE = Decimal("1.1")
_STANDARD_TIER_FACTOR = 2


class ModelUsage(msgspec.Struct, kw_only=True):
    """What the answers of one model add up to; ``cost_usd`` is in dollars."""

    model: str
    requests: int = 0
    input_tokens: int = 0
    cache_creation_5m_input_tokens: int = 0
    cache_creation_1h_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


_SUMMED = tuple(name for name in ModelUsage.__struct_fields__ if name != "model")


@dataclass(slots=True)
class Tally:
    """Adds up results: requests by result type, and usage by model."""

    counts: dict[str, int] = field(default_factory=dict)
    by_model: dict[str, ModelUsage] = field(default_factory=dict)

    def add(self, result: JsonObject) -> None:
        """Count one result; only a succeeded one is billed."""
        result_type = result["type"]
        self.counts[result_type] = self.counts.get(result_type, 0) + 1
        if result_type == "succeeded":
            self.add_message(result["message"])

    def add_message(self, message: JsonObject) -> None:
        """Bill one message."""
        usage, model_id = message["usage"], message["model"]
        total = self.by_model.setdefault(model_id, ModelUsage(model=model_id))
        creation = usage["cache_creation"]
        total.requests += 1
        total.input_tokens += usage["input_tokens"]
        total.cache_creation_5m_input_tokens += creation["ephemeral_5m_input_tokens"]
        total.cache_creation_1h_input_tokens += creation["ephemeral_1h_input_tokens"]
        total.cache_read_input_tokens += usage["cache_read_input_tokens"]
        total.output_tokens += usage["output_tokens"]
        total.thinking_tokens += usage["output_tokens_details"]["thinking_tokens"]
        model = find_model(model_id)
        if model is not None:
            total.cost_usd += cost_usd(usage, model)

    @property
    def usage(self) -> tuple[ModelUsage, ...]:
        """Return the usage, ordered by model."""
        return tuple(self.by_model[name] for name in sorted(self.by_model))


def cost_usd(usage: JsonObject, model: Model) -> Decimal:
    """Return what a message with this ``usage`` costs, in dollars."""
    creation = usage["cache_creation"]
    prompt_tokens = (
        usage["input_tokens"] + usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"]
    )
    prices = model.prices
    if model.long_prices and model.long_prompt_tokens and prompt_tokens > model.long_prompt_tokens:
        prices = model.long_prices
    cost: Decimal = (
        usage["input_tokens"] * prices.input
        + creation["ephemeral_5m_input_tokens"] * prices.cache_write_5m
        + creation["ephemeral_1h_input_tokens"] * prices.cache_write_1h
        + usage["cache_read_input_tokens"] * prices.cache_read
        + usage["output_tokens"] * prices.output
    ) / _MILLION
    if usage["inference_geo"] == "us" and model.has_us_surcharge:
        cost *= _US_SURCHARGE
    return cost if usage["service_tier"] == "batch" else cost * _STANDARD_TIER_FACTOR


def total_usage(parts: Iterable[ModelUsage]) -> ModelUsage:
    """Return the sum over all models, under the name ``all``."""
    total = ModelUsage(model="all")
    for part in parts:
        for name in _SUMMED:
            setattr(total, name, getattr(total, name) + getattr(part, name))
    return total


def usage_by_model(parts: Iterable[ModelUsage]) -> list[ModelUsage]:
    """Return one sum for each model, ordered by its name."""
    by_model: dict[str, list[ModelUsage]] = {}
    for part in parts:
        by_model.setdefault(part.model, []).append(part)
    return [msgspec.structs.replace(total_usage(same), model=name) for name, same in sorted(by_model.items())]
