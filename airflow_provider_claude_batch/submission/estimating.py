"""
What a snapshot will cost, before any of it is sent: the API counts the tokens of a few requests, for free.

Reads the snapshot's request lines as a stream; only those that are drawn stay in memory.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from airflow_provider_claude_batch.core.estimate import Estimate, SampledRequest, estimate
from airflow_provider_claude_batch.core.requests_to_shards import body_bytes
from airflow_provider_claude_batch.core.sampling import sample_positions
from airflow_provider_claude_batch.hooks.answers import parsed
from airflow_provider_claude_batch.hooks.request_log import no_line_a_request
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.request_lines import written_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anthropic import Anthropic
    from anthropic.types import MessageParam

    from airflow_provider_claude_batch.core.estimate import OutputPerRequest
    from airflow_provider_claude_batch.core.manifest import Plan, Round, ShardRecord
    from airflow_provider_claude_batch.core.output_schema import JsonObject
    from airflow_provider_claude_batch.core.prices import PriceList
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

#: Calls to the token counter, all in all; two of them are for the part that is cached.
MAX_CALLS = 50

#: Fields of the SDK's parameters of a count that are headers, and no part of ``params``.
_HEADERS = frozenset({"betas", "user_profile_id", "workspace_id"})

_CALLS_AT_ONCE = 5

CacheKind = Literal["cache_write_5m", "cache_write_1h"]


@dataclass(frozen=True, slots=True)
class _Prefix:
    """The part of a prompt that is marked for the cache."""

    tokens: int
    kind: CacheKind


def estimate_submission(
    folder: ManifestFolder,
    plan: Plan,
    record: Round,
    hook: ClaudeBatchHook,
    *,
    prices: PriceList,
    output: OutputPerRequest | None = None,
) -> Estimate | None:
    """
    Estimate what the requests of a round cost, from at most :data:`MAX_CALLS` free calls.

    The same snapshot draws the same requests.

    :param output: What answers are like; unless given, between nothing and ``max_tokens``.
    :return: ``None`` where there are no requests, or the counter could not be asked: a log line says why.
    """
    from anthropic import APIError

    shards = [shard for shard in record.shards if shard.requests]
    count = sum(shard.requests for shard in shards)
    if not count:
        return None
    total_bytes = sum(map(_line_bytes, shards))
    drawn = _draw(folder, record, shards, seed=plan.identity, total_bytes=total_bytes)
    try:
        sample = _count_all(drawn, hook.client, betas=plan.settings.betas)
    except APIError as error:
        # The message may quote a request.
        logging.getLogger(__name__).warning(
            "The token counter cannot be asked (%s), so what %d requests cost is not estimated. This costs "
            "nothing and keeps nothing from being sent.",
            type(error).__name__,
            count,
        )
        return None
    return estimate(sample, total_bytes=total_bytes, count=count, prices=prices, output=output)


def _draw(
    folder: ManifestFolder, record: Round, shards: Sequence[ShardRecord], *, seed: str, total_bytes: int
) -> list[bytes]:
    """Return the drawn lines, each as often as it was drawn; all lines where they are few."""
    draws = MAX_CALLS - 2
    if sum(shard.requests for shard in shards) <= draws:
        return [line for shard in shards for line in _lines(folder, record, shard)]
    positions = sample_positions(total_bytes, draws=draws, seed=seed)
    drawn: list[bytes] = []
    start = 0
    for shard in shards:
        end = start + _line_bytes(shard)
        here = [position - start for position in positions if start <= position < end]
        drawn += _lines_at(here, _lines(folder, record, shard)) if here else []
        start = end
    return drawn


def _lines_at(positions: Sequence[int], lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the line that covers each position, in ascending order."""
    end, line = 0, b""
    for position in positions:
        while position >= end:
            line = next(lines)
            end += len(line)
        yield line


def _lines(folder: ManifestFolder, record: Round, shard: ShardRecord) -> Iterator[bytes]:
    return written_lines(folder, names.requests_path(record.index, shard.index, record.identity))


def _line_bytes(shard: ShardRecord) -> int:
    return shard.body_bytes - body_bytes(shard.requests, 0)


def _count_all(drawn: Sequence[bytes], client: Anthropic, *, betas: Sequence[str]) -> list[SampledRequest]:
    """Count each line once, some at a time."""
    lines = list(dict.fromkeys(drawn))
    params: list[JsonObject] = [msgspec.json.decode(line)["params"] for line in lines]
    prefix = _count_prefix(params[0], client, betas=betas)
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        counts = pool.map(lambda each: _count(each, client, betas=betas), params)
        counted = {
            line: _sampled(line, each, tokens, prefix)
            for line, each, tokens in zip(lines, params, counts, strict=True)
        }
    return [counted[line] for line in drawn]


def _count_prefix(params: JsonObject, client: Anthropic, *, betas: Sequence[str]) -> _Prefix | None:
    """Return the part that is marked for the cache in the system prompt or the tools, where there is one."""
    marks = [
        block["cache_control"]
        for part in (params.get("tools"), params.get("system"))
        for block in (part if isinstance(part, list) else [])
        if isinstance(block, dict) and block.get("cache_control")
    ]
    if not marks:
        return None
    rest = {name: value for name, value in params.items() if name not in ("tools", "tool_choice", "system")}
    tokens = _count(params, client, betas=betas) - _count(rest, client, betas=betas)
    is_long = any(isinstance(mark, dict) and mark.get("ttl") == "1h" for mark in marks)
    return _Prefix(max(tokens, 0), "cache_write_1h" if is_long else "cache_write_5m")


def _count(params: JsonObject, client: Anthropic, *, betas: Sequence[str]) -> int:
    from anthropic.types import MessageTokensCount
    from anthropic.types.beta.message_count_tokens_params import MessageCountTokensParams

    # max_tokens, metadata and others of a request are refused here.
    names_taken = MessageCountTokensParams.__annotations__.keys() - _HEADERS
    counted = {name: value for name, value in params.items() if name in names_taken}
    with no_line_a_request():
        answer = client.messages.with_raw_response.count_tokens(
            model=str(counted.pop("model")),
            messages=cast("list[MessageParam]", counted.pop("messages")),
            extra_body=counted,
            extra_headers={"anthropic-beta": ",".join(betas)} if betas else None,
        )
    return parsed(answer, MessageTokensCount, input_tokens=int).input_tokens


def _sampled(line: bytes, params: JsonObject, tokens: int, prefix: _Prefix | None) -> SampledRequest:
    geo = params.get("inference_geo")
    return SampledRequest(
        size_bytes=len(line),
        model=str(params["model"]),
        input_tokens=tokens,
        max_tokens=cast("int", params["max_tokens"]),
        geo=str(geo) if geo else None,
        cached_tokens=min(prefix.tokens, tokens) if prefix else 0,
        cache_kind=prefix.kind if prefix else None,
    )
