"""
The most that requests can cost, said before they are sent: what a cap is checked against. Pure.

A token is at least a byte of text, so the bytes of a request bound its prompt; no answer is longer than its
``max_tokens``; and no prompt is longer than the model's context window.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import msgspec

from airflow_provider_claude_batch.core.prices import geo_factor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_claude_batch.core.prices import PriceList, PriceTier

#: Of one image, rounded up: models from Opus 4.7 on read up to 4,784 tokens of it. https://
#: platform.claude.com/docs/en/build-with-claude/vision, read 2026-11-22.
MAX_IMAGE_TOKENS = 5_000

#: Of the system prompt that the API adds for tools or an output schema, which is in no request; up to 530 are
#: documented. https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview, read 2026-11-22.
MAX_HIDDEN_TOKENS = 1_000

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class WorstCase:
    """
    An upper bound.

    :param usd: ``None`` where there is none.
    :param reason: Why there is none.
    """

    usd: Decimal | None
    reason: str | None = None


class _Tool(msgspec.Struct):
    type: str | None = None


class _Params(msgspec.Struct):
    model: str
    max_tokens: int
    inference_geo: str | None = None
    tools: list[_Tool] | None = None
    mcp_servers: object = None
    output_config: object = None


class _Line(msgspec.Struct):
    params: _Params


_DECODER = msgspec.json.Decoder(_Line)


def worst_case_usd(lines: Iterable[bytes], prices: PriceList) -> WorstCase:
    """
    Return the most that requests can cost in a batch.

    Every prompt is taken as one token a byte, written to the cache where any part of it is marked for it, at
    the price of a prompt of that length; every answer as long as its ``max_tokens`` allows. An image counts
    :data:`MAX_IMAGE_TOKENS` instead of its bytes; a document that is not text, the whole context window.

    There is no bound where a model's price is not known, and none with tools but the author's own: how often
    they are called, and what they return, is in no request.

    :param lines: Request lines of a shard, as they are sent.
    """
    total = Decimal(0)
    for line in lines:
        params = _DECODER.decode(line).params
        found = prices.of(params.model)
        if found is None:
            return WorstCase(None, f"the price of {params.model} is not known")
        if unbounded := _unbounded_part(params):
            return WorstCase(None, f"how many tokens {unbounded} takes is in no request")
        tokens = min(_prompt_tokens(line, params, context_tokens=found.context_tokens), found.context_tokens)
        tier = found.tier_of(tokens)
        cost = tokens * _dearest_input(line, tier) + params.max_tokens * tier.batch["output"]
        total += cost * geo_factor(params.inference_geo)
    return WorstCase(total / _MILLION)


def _unbounded_part(params: _Params) -> str | None:
    if params.mcp_servers is not None:
        return "mcp_servers"
    types = (tool.type for tool in params.tools or [])
    return next((f"the tool {type_}" for type_ in types if type_ not in (None, "custom")), None)


def _prompt_tokens(line: bytes, params: _Params, *, context_tokens: int) -> int:
    tokens = len(line)
    if params.tools or params.output_config is not None:
        tokens += MAX_HIDDEN_TOKENS
    # Inside a string every quote is escaped, so that this is a member of the JSON and no text of a row.
    if b'"source":{' in line:
        tokens += _media_tokens(msgspec.json.decode(line), context_tokens=context_tokens)
    return tokens


def _media_tokens(value: object, *, context_tokens: int) -> int:
    """Return what images and documents may count beyond their bytes, less than none where that is less."""
    if isinstance(value, list):
        return sum(_media_tokens(member, context_tokens=context_tokens) for member in value)
    if not isinstance(value, dict):
        return 0
    block = cast("dict[str, object]", value)
    source = block.get("source")
    if isinstance(source, dict) and block.get("type") == "image":
        data = source.get("data") if source.get("type") == "base64" else None
        return MAX_IMAGE_TOKENS - (len(data) if isinstance(data, str) else 0)
    if isinstance(source, dict) and source.get("type") not in ("text", "content"):
        return context_tokens
    return sum(_media_tokens(member, context_tokens=context_tokens) for member in block.values())


def _dearest_input(line: bytes, tier: PriceTier) -> Decimal:
    usd = tier.batch
    if b'"cache_control":{' not in line:
        return usd["input"]
    return max(usd["input"], usd["cache_write_5m"], usd["cache_write_1h"])
