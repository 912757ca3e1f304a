"""
The part of a prompt that all requests share and the prompt cache keeps, as far as it is known before sending.

Pure: from ``params`` with row templates in them. What a cache saved in the end is in :mod:`.cache_use`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from airflow_provider_claude_batch.core.row_template import Placeholder, RowTemplate
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

#: Tokens that a prefix needs to be cached, by model; what is shorter is paid in full and without a word.
#: https://platform.claude.com/docs/en/build-with-claude/prompt-caching#cache-limitations, by what quoted it
#: in October 2026, read 2026-11-22. Where they differ, the smaller number; what none names is not here.
MIN_CACHE_TOKENS = {
    "claude-fable-5-1": 512,
    "claude-fable-5": 512,
    "claude-mythos-5-1": 512,
    "claude-mythos-5": 512,
    "claude-opus-5-5": 512,
    "claude-opus-5": 512,
    "claude-sonnet-5-5": 512,
    "claude-haiku-5-5": 512,
    "claude-opus-4-8": 1_024,
    "claude-sonnet-5": 1_024,
    "claude-sonnet-4-6": 1_024,
    "claude-sonnet-4-5": 1_024,
    "claude-opus-4-1": 1_024,
    "claude-opus-4-7": 2_048,
    "claude-opus-4-6": 4_096,
    "claude-opus-4-5": 4_096,
    "claude-haiku-4-5": 4_096,
}

#: Marks in one request; the same page.
MAX_MARKS = 4

#: A token is between two bytes (Chinese, digits) and six (plain English on the older tokenizers).
_FEWEST_BYTES_PER_TOKEN = 2
_MOST_BYTES_PER_TOKEN = 6

_DATE = re.compile(r"-\d{8}$")
_MEDIA = frozenset({"image", "document"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMark:
    """
    One ``cache_control``, and the prompt up to the end of its block.

    :param path: Of the block: ``$.system[0]``.
    :param ttl: ``5m`` or ``1h``.
    :param text_bytes: Of the prompt up to there, without what the rows fill in.
    :param has_media: It holds images or documents, whose tokens are not known by their bytes.
    :param differs_at: The first text on the way that a row fills: ``$.system[0].text``; ``None`` where all
        requests are the same up to the mark.
    :param column: What fills it.
    """

    path: str
    ttl: str
    text_bytes: int
    has_media: bool
    differs_at: str | None = None
    column: str | None = None

    @property
    def least_tokens(self) -> int:
        """Return the tokens that the prompt up to the mark has at least."""
        return self.text_bytes // _MOST_BYTES_PER_TOKEN

    @property
    def most_tokens(self) -> int | None:
        """Return the tokens that it has at most; ``None`` where nobody knows."""
        return None if self.has_media else self.text_bytes // _FEWEST_BYTES_PER_TOKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePrefix:
    """
    What is marked for the cache in the requests of a submission.

    :param marks: In the API's order: tools, system, messages.
    :param model: That reads it.
    """

    marks: tuple[CacheMark, ...]
    model: str

    @property
    def shared(self) -> CacheMark | None:
        """Return the last mark up to which all requests are the same."""
        return next((mark for mark in reversed(self.marks) if mark.differs_at is None), None)

    @property
    def min_tokens(self) -> int | None:
        """Return the tokens that the model caches from on; ``None`` where that is not documented."""
        return MIN_CACHE_TOKENS.get(_DATE.sub("", self.model))

    @property
    def is_readable(self) -> bool:
        """Return whether one request can read what another wrote, as far as that can be known here."""
        return self.shared is not None and not self._is_too_short(self.shared)

    def problems(self) -> list[str]:
        """Say of each mark that cannot work why; sentences for the log, without a text of the prompt."""
        found = [
            f"{mark.path} is marked for the prompt cache, but the prompt differs by row from "
            f"{mark.differs_at}: {{{mark.column}}} on: every request pays for a write and none can read it. "
            "Put what differs behind the mark"
            for mark in self.marks
            if mark.differs_at is not None
        ]
        shared = self.shared
        if shared is not None and self._is_too_short(shared):
            found.append(
                f"{shared.path} is marked for the prompt cache, but {shared.text_bytes:,} bytes, at most "
                f"{shared.most_tokens:,} tokens, are too few: {self.model} caches from {self.min_tokens:,} "
                "on. Every request pays the whole prompt"
            )
        return found

    def to_text(self) -> str:
        """Return what is known of the shared prefix as a sentence for the log."""
        shared = self.shared
        if shared is None:
            return "no prefix is the same in every request"
        most = "an unknown number of" if shared.most_tokens is None else f"{shared.most_tokens:,}"
        text = (
            f"the prompt is the same in every request up to {shared.path}: {shared.text_bytes:,} bytes, "
            f"{shared.least_tokens:,} to {most} tokens"
        )
        least = self.min_tokens
        if least is None:
            return f"{text}; from how many on {self.model} caches is not known"
        doubt = " (may be too short)" if shared.least_tokens < least else ""
        return f"{text}; {self.model} caches from {least:,} on{doubt}"

    def _is_too_short(self, mark: CacheMark) -> bool:
        most, least = mark.most_tokens, self.min_tokens
        return most is not None and least is not None and most < least


def cache_prefix(params: Mapping[str, object]) -> CachePrefix:
    """
    Find the marks in a request, and what of the prompt in front of each is the same in every request.

    :param params: As :func:`.build_params` returns it, with row templates in it.
    :raises ClaudeBatchInputError: The API would refuse the marks: more than four, or one of an hour behind
        one of five minutes.
    """
    marks: list[CacheMark] = []
    text_bytes, has_media = 0, False
    differs: tuple[str, str] | tuple[None, None] = (None, None)
    blocks = list(_blocks(params))
    for number, (path, block) in enumerate(blocks, 1):
        text_bytes += _text_bytes(block)
        has_media = has_media or _has_media(block)
        if differs[0] is None:
            differs = next(_placeholders(block, path), (None, None))
        ttls = [*_ttls(block), *(_own_ttl(params) if number == len(blocks) else ())]
        marks.extend(
            CacheMark(
                path=path,
                ttl=ttl,
                text_bytes=text_bytes,
                has_media=has_media,
                differs_at=differs[0],
                column=differs[1],
            )
            for ttl in ttls
        )
    _check_marks(marks)
    return CachePrefix(marks=tuple(marks), model=str(params.get("model", "")))


def _check_marks(marks: list[CacheMark]) -> None:
    if len(marks) > MAX_MARKS:
        raise ClaudeBatchInputError(
            f"The request has {len(marks)} cache_control marks, and the API takes {MAX_MARKS}. Nothing was "
            "sent."
        )
    for former, mark in pairwise(marks):
        if (former.ttl, mark.ttl) == ("5m", "1h"):
            raise ClaudeBatchInputError(
                f"{mark.path} is marked for 1h, behind {former.path}, which is marked for 5m: the API takes "
                "the longer ones first. Nothing was sent."
            )


def _blocks(params: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the blocks of a prompt with their paths, in the order in which the cache sees them."""
    yield from _as_blocks(params.get("tools"), "$.tools")
    output_config = params.get("output_config")
    if isinstance(output_config, Mapping) and output_config.get("format"):
        # The API puts it into the prompt, ahead of the messages.
        yield "$.output_config.format", output_config["format"]
    yield from _as_blocks(params.get("system"), "$.system")
    messages = params.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list | tuple) else ()):
        if isinstance(message, Mapping):
            yield from _as_blocks(message.get("content"), f"$.messages[{number}].content")


def _as_blocks(content: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(content, list | tuple):
        for number, block in enumerate(content):
            yield f"{path}[{number}]", block
    elif content:
        yield path, content


def _own_ttl(block: Mapping[str, object]) -> tuple[str, ...]:
    mark = block.get("cache_control")
    return (str(mark.get("ttl", "5m")),) if isinstance(mark, Mapping) else ()


def _ttls(block: object) -> Iterator[str]:
    """Yield the marks of a block and of the blocks in it, which are those of a tool result."""
    if isinstance(block, Mapping):
        inner = block.get("content")
        for each in inner if isinstance(inner, list | tuple) else ():
            yield from _ttls(each)
        yield from _own_ttl(block)


def _placeholders(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield path and column of what rows fill in."""
    if isinstance(value, RowTemplate):
        yield from ((path, column) for column in value.columns)
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield from _placeholders(member, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for number, member in enumerate(value):
            yield from _placeholders(member, f"{path}[{number}]")


def _text_bytes(value: object) -> int:
    if isinstance(value, RowTemplate):
        return sum(_text_bytes(piece) for piece in value.pieces if not isinstance(piece, Placeholder))
    if isinstance(value, Mapping):
        # Of an image or a document, the source is no text.
        left_out = ("cache_control", "source") if value.get("type") in _MEDIA else ("cache_control",)
        return sum(len(str(name)) + _text_bytes(value[name]) for name in value if name not in left_out)
    if isinstance(value, list | tuple):
        return sum(map(_text_bytes, value))
    return len(str(value).encode("utf-8", "surrogatepass"))


def _has_media(value: object) -> bool:
    if isinstance(value, Mapping):
        return value.get("type") in _MEDIA or any(map(_has_media, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_media, value))
