"""
One line of a batch's results, as the wire has it, and what became of the row.

Wire types for msgspec, with the API's field names; fields that nothing here needs are left out and skipped.
"""

from __future__ import annotations

import json
import re
from typing import Literal

import msgspec

#: What became of a row: the API's result type, and for a succeeded one whether its answer can be used.
Outcome = Literal[
    "ok", "truncated", "refused", "invalid_output", "errored", "expired", "canceled", "missing", "rejected"
]

#: Where a path of the schema stands in msgspec's messages.
_PATH = re.compile(r" - at `(\$[^`]*)`$")

_TRUNCATED = frozenset({"max_tokens", "model_context_window_exceeded", "pause_turn"})


class ContentBlock(msgspec.Struct, frozen=True, gc=False):
    """A block of an answer; only text blocks have text."""

    type: str
    text: str | None = None


class CacheCreation(msgspec.Struct, frozen=True, gc=False):
    """Tokens written to the prompt cache, by how long they live."""

    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class OutputTokensDetails(msgspec.Struct, frozen=True, gc=False):
    """What the output tokens were used for."""

    thinking_tokens: int = 0


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one answer. Input, cache writes and cache reads are disjoint."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputTokensDetails | None = None
    service_tier: str | None = None


class Message(msgspec.Struct, frozen=True):
    """An answer."""

    content: list[ContentBlock] = []
    model: str | None = None
    stop_reason: str | None = None
    usage: Usage | None = None


class ApiError(msgspec.Struct, frozen=True, gc=False):
    """What went wrong with one request."""

    type: str | None = None
    message: str | None = None


class ErrorResponse(msgspec.Struct, frozen=True, gc=False):
    """The error of an errored line: the API nests the error itself one level deeper."""

    error: ApiError | None = None
    request_id: str | None = None


class Result(msgspec.Struct, frozen=True):
    """The outcome of one request in the API's words."""

    type: Literal["succeeded", "errored", "canceled", "expired"]
    message: Message | None = None
    error: ErrorResponse | None = None


class ResultLine(msgspec.Struct, frozen=True):
    """One line of the results."""

    custom_id: str
    result: Result


_decoder = msgspec.json.Decoder(ResultLine)


def decode_line(line: bytes) -> ResultLine:
    """
    Decode one line.

    A lone surrogate escape, which JSON allows and UTF-8 does not, becomes U+FFFD.

    :raises ValueError: The line is not a result.
    """
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return msgspec.convert(_without_surrogates(json.loads(line)), ResultLine)


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(member) for member in value]
    if isinstance(value, dict):
        return {name: _without_surrogates(member) for name, member in value.items()}
    return value


def answer_text(message: Message | None) -> str | None:
    """Return all text blocks joined, or ``None`` where there is no text; what comes first may be thinking."""
    if message is None:
        return None
    texts = [block.text for block in message.content if block.text is not None and block.type == "text"]
    return "".join(texts) if texts else None


def misfit_text(error: ValueError) -> str:
    """
    Say where an answer does not fit its types, and nothing of what it says.

    :param error: Of msgspec, whose own words may quote the answer.
    """
    if not isinstance(error, msgspec.ValidationError):
        return "The answer is not JSON"
    path = _PATH.search(str(error))
    return (
        f"The answer breaks output_schema: {path[1] if path else '$'} has another type, or is out of bounds"
    )


def result_to_outcome(result: Result, *, fits_schema: bool) -> Outcome:
    """
    Say what became of a row.

    :param result: Of its request.
    :param fits_schema: The answer is a valid instance of the output schema, or none was asked for.
    """
    if result.type != "succeeded":
        return result.type
    stop_reason = result.message.stop_reason if result.message else None
    if stop_reason == "refusal":
        return "refused"
    if stop_reason in _TRUNCATED:
        return "truncated"
    return "ok" if fits_schema else "invalid_output"
