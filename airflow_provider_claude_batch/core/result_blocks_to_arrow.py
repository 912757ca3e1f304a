"""
Blocks of result lines to flat Arrow columns, one row for every line, none left out.

A block is read at once by Arrow; one that Arrow cannot read is repaired line by line and read again, so that
what a line becomes does not depend on the lines around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from airflow_provider_claude_batch.core.json_to_arrow import one_batch
from airflow_provider_claude_batch.core.result_lines import (
    RESULT_LINE,
    NoResultLineError,
    Shape,
    content_text,
    repaired_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: In ``claude_error_type`` of a request whose line cannot be read; no word of the API's.
UNREADABLE = "unreadable_result"

#: The same where the API says a result type that is not known here.
UNKNOWN_TYPE = "unknown_result_type"

_NOT_SUCCEEDED = pa.array(["errored", "expired", "canceled"])
_TRUNCATED = pa.array(["max_tokens", "model_context_window_exceeded", "pause_turn"])

#: A piece of a block is read by Arrow as a whole, or line by line.
_PIECE_BYTES = 1 << 16

_COUNTS = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read", "thinking")

#: One row for every line. ``fault`` says why a line is no result that can be used; ``outcome`` leaves open
#: whether an answer fits its schema.
LINE_SCHEMA = pa.schema(
    [
        pa.field("custom_id", pa.string(), nullable=False),
        ("result_type", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),
        ("text", pa.string()),
        ("stop_reason", pa.string()),
        ("error_type", pa.string()),
        ("error_message", pa.string()),
        ("request_id", pa.string()),
        ("model", pa.string()),
        *((f"{kind}_tokens", pa.int64()) for kind in _COUNTS),
        ("service_tier", pa.string()),
        ("inference_geo", pa.string()),
    ]
)


class UnreadableBlockError(ValueError):
    """
    A line does not say whose result it is.

    :param line: Its number in the block, from 0.
    """

    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(f"line {line} of a block is not a result")


def block_to_arrow(block: bytes) -> pa.RecordBatch:
    """
    Read a block of lines.

    :param block: Lines in full, each with its line end; the last one may lack it. Empty ones do not count.
    :return: Rows of :data:`LINE_SCHEMA`, in the order of the lines.
    :raises UnreadableBlockError: A line does not say whose result it is.
    """
    read = read_at_once(block)
    return _flat(_read_in_pieces(block) if read is None else read)


def content_texts(block: bytes) -> pa.Array:
    """Return the content blocks of each line's answer as compact JSON, null where it has none."""
    return pa.array([content_text(line) for line in block.split(b"\n") if line], pa.string())


def read_at_once(block: bytes) -> pa.StructArray | None:
    """Return the lines in the API's own nesting, or ``None`` where Arrow cannot read them all."""
    lines = _objects_by_line(block)
    read = None if lines is None else _parsed(block)
    if read is None or len(read) != lines or pc.struct_field(read, "custom_id").null_count:
        return None
    return read


def _objects_by_line(block: bytes) -> int | None:
    """
    Count the lines of a block in which every line begins and ends with a brace; else return ``None``.

    Arrow reads values one after the other wherever lines end, and crashes on a null that comes first. With
    these lines, as many values as lines means one in each.
    """
    octets = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(octets == ord("\n"))
    if not len(ends) or ends[-1] != len(octets) - 1:
        ends = np.append(ends, len(octets))
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not (starts < ends).all():
        return None
    is_objects = (octets[starts] == ord("{")).all() and (octets[ends - 1] == ord("}")).all()
    return len(ends) if is_objects else None


def read_line_by_line(block: bytes) -> pa.StructArray:
    """
    Return the lines in the API's own nesting, each repaired.

    :raises UnreadableBlockError: A line does not say whose result it is.
    """
    lines = b"\n".join(_repaired_lines(block))
    read = _parsed(lines) if lines else pa.array([], pa.struct(_WIRE_SCHEMA))
    if read is None:
        raise AssertionError("Arrow cannot read repaired lines")
    return read


def _read_in_pieces(block: bytes) -> pa.StructArray:
    """Read a block again so that one odd line costs only the lines near it their speed."""
    parts: list[pa.StructArray] = []
    for piece in _pieces(block):
        read = read_at_once(piece)
        try:
            parts.append(read_line_by_line(piece) if read is None else read)
        except UnreadableBlockError as error:
            raise UnreadableBlockError(sum(map(len, parts)) + error.line) from None
    return pa.concat_arrays(parts)


def _pieces(block: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(block):
        end = block.find(b"\n", start + _PIECE_BYTES) + 1 or len(block)
        yield block[start:end]
        start = end


def _repaired_lines(block: bytes) -> Iterator[bytes]:
    lines = block.split(b"\n")
    last = len(lines) - 1
    number = 0
    for position, line in enumerate(lines):
        if not line:
            continue
        try:
            yield repaired_line(line, is_whole=position < last)
        except NoResultLineError:
            raise UnreadableBlockError(number) from None
        number += 1


def _parsed(block: bytes) -> pa.StructArray | None:
    options = pj.ParseOptions(explicit_schema=_WIRE_SCHEMA, unexpected_field_behavior="ignore")
    try:
        lines = one_batch(block, options)
        # Arrow takes over bytes that are no UTF-8.
        lines.validate(full=True)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    return lines.to_struct_array()


def _arrow_type(shape: Shape) -> pa.DataType:
    if isinstance(shape, dict):
        return pa.struct([(name, _arrow_type(inner)) for name, inner in shape.items()])
    if isinstance(shape, list):
        return pa.list_(_arrow_type(shape[0]))
    return pa.string() if shape is str else pa.int64()


_WIRE_SCHEMA = pa.schema([(name, _arrow_type(shape)) for name, shape in RESULT_LINE.items()])


def _flat(lines: pa.StructArray) -> pa.RecordBatch:
    line = _fields(lines)
    result = _fields(line["result"])
    message, error = _fields(result["message"]), _fields(result["error"])
    cause = _fields(error["error"])
    has_succeeded = pc.fill_null(pc.equal(result["type"], "succeeded"), fill_value=False)
    fault_type, fault = _faults(result["type"], has_succeeded, result["message"])
    columns = {
        "custom_id": line["custom_id"],
        "result_type": result["type"],
        "outcome": _outcomes(result["type"], has_succeeded, message["stop_reason"], fault),
        "text": _joined_text(message["content"]),
        "stop_reason": message["stop_reason"],
        "error_type": pc.coalesce(cause["type"], fault_type),
        "error_message": pc.coalesce(cause["message"], fault),
        "request_id": error["request_id"],
        "model": message["model"],
        **_usage(_fields(message["usage"])),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in LINE_SCHEMA.names], schema=LINE_SCHEMA)


def _fields(objects: pa.StructArray) -> dict[str, pa.Array]:
    """Return an object's fields by name, null where the object is."""
    names = [objects.type.field(i).name for i in range(objects.type.num_fields)]
    return dict(zip(names, objects.flatten(), strict=True))


def _faults(
    result_type: pa.Array, has_succeeded: pa.Array, message: pa.StructArray
) -> tuple[pa.Array, pa.Array]:
    """Return type and words of what keeps a line from being a result of the API's."""
    is_empty = pc.and_(has_succeeded, message.is_null())
    is_known = pc.or_(has_succeeded, pc.is_in(result_type, value_set=_NOT_SUCCEEDED))
    none = pa.scalar(None, pa.string())
    unreadable = pc.or_(result_type.is_null(), is_empty)
    kinds = pc.if_else(unreadable, UNREADABLE, pc.if_else(is_known, none, UNKNOWN_TYPE))
    words = pc.if_else(
        unreadable,
        "The line of the results cannot be read",
        pc.if_else(is_known, none, "The result type is not one that is known here"),
    )
    return kinds, words


def _outcomes(
    result_type: pa.Array, has_succeeded: pa.Array, stop_reason: pa.Array, fault: pa.Array
) -> pa.Array:
    refused = pc.fill_null(pc.equal(stop_reason, "refusal"), fill_value=False)
    truncated = pc.is_in(stop_reason, value_set=_TRUNCATED)
    answered = pc.if_else(refused, "refused", pc.if_else(truncated, "truncated", "ok"))
    told = pc.if_else(has_succeeded, answered, result_type)
    return pc.if_else(fault.is_valid(), "errored", told)


def _joined_text(content: pa.ListArray) -> pa.Array:
    """Return all text blocks of each answer joined; null where there is none."""
    block = _fields(content.flatten())
    texts, parents = block["text"], pc.list_parent_indices(content).to_numpy()
    if len(parents) != len(texts):
        raise AssertionError("content blocks of an answer that is null")
    is_text = pc.and_(pc.fill_null(pc.equal(block["type"], "text"), False), texts.is_valid())
    places = np.flatnonzero(is_text)
    rows = parents[places]
    counts = np.bincount(rows, minlength=len(content))
    if counts.max(initial=0) <= 1:
        only = np.zeros(len(content), np.int64)
        only[rows] = places
        return texts.take(pa.array(only, mask=counts == 0))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), texts.filter(is_text)), "")
    return pc.if_else(pa.array(counts > 0), joined, pa.scalar(None, pa.string()))


def _usage(usage: dict[str, pa.Array]) -> dict[str, pa.Array]:
    # Without a breakdown by lifetime, all that was written was written for five minutes, the API's default.
    creation = _fields(usage["cache_creation"])
    written = creation["ephemeral_5m_input_tokens"], creation["ephemeral_1h_input_tokens"]
    has_breakdown = pc.or_(written[0].is_valid(), written[1].is_valid())
    # Errored, canceled and expired requests have no usage and are not billed.
    # https://platform.claude.com/docs/en/build-with-claude/batch-processing, read 2026-09-26.
    counts = {
        "input": usage["input_tokens"],
        "output": usage["output_tokens"],
        "cache_write_5m": pc.if_else(has_breakdown, written[0], usage["cache_creation_input_tokens"]),
        "cache_write_1h": written[1],
        "cache_read": usage["cache_read_input_tokens"],
        "thinking": _fields(usage["output_tokens_details"])["thinking_tokens"],
    }
    return {
        **{f"{kind}_tokens": pc.fill_null(counts[kind], 0) for kind in _COUNTS},
        "service_tier": usage["service_tier"],
        "inference_geo": usage["inference_geo"],
    }
