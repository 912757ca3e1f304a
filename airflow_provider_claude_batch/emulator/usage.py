"""
Count tokens, and what of a prompt is read from or written to the prompt cache.

The rule: every block of a prompt (a system or message text, a tool, an output schema) counts one token for
each four bytes of its UTF-8 text or compact JSON, rounded up; an image counts 1,600 tokens and a document
that is not text 3,000. The same rule counts answers, ``/v1/messages/count_tokens`` and the bill.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_claude_batch.emulator.wire import JsonObject, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTES_PER_TOKEN = 4
IMAGE_TOKENS = 1_600
DOCUMENT_TOKENS = 3_000
_TTL_SECONDS = {"5m": 300.0, "1h": 3600.0}


def text_tokens(text: str) -> int:
    """Return the tokens of a text."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def block_tokens(block: Any) -> int:
    """Return the tokens of one block of a prompt or an answer."""
    if isinstance(block, str):
        return text_tokens(block)
    kind = block.get("type")
    if kind == "text":
        return text_tokens(block["text"])
    if kind == "image":
        return IMAGE_TOKENS
    if kind == "document":
        source = block.get("source") or {}
        return text_tokens(source["data"]) if source.get("type") == "text" else DOCUMENT_TOKENS
    if kind == "tool_result":
        content = block.get("content") or ""
        return sum(map(block_tokens, [content] if isinstance(content, str) else content))
    return -(-len(encode(block)) // _BYTES_PER_TOKEN)


def prompt_blocks(params: JsonObject) -> Iterator[Any]:
    """Yield the blocks of a prompt in the order in which the cache sees them: tools, system, messages."""
    yield from params.get("tools") or ()
    output_format = (params.get("output_config") or {}).get("format")
    if output_format:
        yield output_format
    yield from _as_blocks(params.get("system"))
    for message in params["messages"]:
        yield from _as_blocks(message["content"])


def prompt_tokens(params: JsonObject) -> int:
    """Return the tokens of a whole prompt."""
    return sum(map(block_tokens, prompt_blocks(params)))


def _as_blocks(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [content]
    return content or []


@dataclass(frozen=True, slots=True)
class InputUsage:
    """The tokens of one prompt, by what became of them; they add up to the whole prompt."""

    input_tokens: int
    cache_creation_5m_tokens: int = 0
    cache_creation_1h_tokens: int = 0
    cache_read_tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Breakpoint:
    digest: bytes
    tokens: int
    ttl: str


@dataclass(slots=True)
class PromptCache:
    """
    The model of the prompt cache.

    A prompt reads the longest of its marked prefixes that is still cached and writes the longer ones. An
    entry lives for its time to live, 5 minutes or 1 hour, from its last use, for one workspace and one model.
    There is no least length.

    :param expires_at: When each entry goes, by digest.
    """

    expires_at: dict[str, float] = field(default_factory=dict)

    def use(self, params: JsonObject, *, scope: str, now: float, misses: bool = False) -> InputUsage:
        """
        Count a prompt that is processed at ``now``, and cache it.

        :param scope: Workspace and model.
        :param misses: Whether an entry is overlooked, as the best-effort cache of a batch may.
        """
        breakpoints, tokens = _breakpoints(params, scope)
        read = 0
        written = {"5m": 0, "1h": 0}
        for point in breakpoints:
            key = point.digest.hex()
            if not misses and self.expires_at.get(key, 0.0) > now:
                read = point.tokens
                written = {"5m": 0, "1h": 0}
            else:
                written[point.ttl] += point.tokens - read - sum(written.values())
            self.expires_at[key] = now + _TTL_SECONDS[point.ttl]
        rest = tokens - read - sum(written.values())
        return InputUsage(rest, written["5m"], written["1h"], read)

    def drop_expired(self, now: float) -> None:
        """Forget the entries that are gone at ``now``."""
        self.expires_at = {key: until for key, until in self.expires_at.items() if until > now}


def _breakpoints(params: JsonObject, scope: str) -> tuple[list[_Breakpoint], int]:
    blocks = list(prompt_blocks(params))
    marks = [block.get("cache_control") if isinstance(block, dict) else None for block in blocks]
    if params.get("cache_control") and blocks:
        marks[-1] = params["cache_control"]
    if not any(marks):
        return [], sum(map(block_tokens, blocks))
    hasher = hashlib.blake2b(scope.encode(), digest_size=16)
    points, tokens = [], 0
    for block, mark in zip(blocks, marks, strict=True):
        tokens += block_tokens(block)
        hasher.update(encode(block))
        if mark:
            points.append(_Breakpoint(hasher.digest(), tokens, mark.get("ttl", "5m")))
    return points, tokens
