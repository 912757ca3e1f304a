"""What a fault that was ordered for some lines of the results does to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.emulator.chance import shuffled
from airflow_provider_claude_batch.emulator.errors import error_body
from airflow_provider_claude_batch.emulator.wire import JsonObject, derived_id, encode

if TYPE_CHECKING:
    from airflow_provider_claude_batch.emulator.faults import Fault

#: Kinds that change which lines there are, rather than what a line says.
SHAPE_FAULTS = frozenset({"doubled", "foreign", "missing"})

#: Stands for a lone surrogate until the line is encoded; characters that Unicode keeps out of texts.
_SURROGATE_MARK = "\ufdd0\ufdd1"
_LAST_STRING_VALUE = re.compile(r'(:\s*"(?:[^"\\]|\\.)*)"(?=[^"]*\Z)')


def choose_lines(faults: tuple[Fault, ...], *, batch_id: str, request_count: int) -> dict[int, Fault]:
    """Return the fault of each struck line by its place; not of faults that name their lines."""
    chosen: dict[int, Fault] = {}
    for index, fault in enumerate(faults):
        if fault.custom_ids is not None:
            continue
        count = fault.count or 1
        if fault.share is not None:
            count = max(1, round(fault.share * request_count))
        order = shuffled(request_count, seed=f"{batch_id} {index}")
        free = [place for place in order if place not in chosen]
        chosen.update(dict.fromkeys(free[:count], fault))
    return chosen


def fault_of_line(
    faults: tuple[Fault, ...],
    chosen: dict[int, Fault],
    *,
    place: int,
    custom_id: str,
) -> Fault | None:
    """Return the fault that strikes the line at ``place``."""
    for fault in faults:
        if fault.custom_ids is not None and custom_id in fault.custom_ids:
            return fault
    return chosen.get(place)


def struck(result: JsonObject, fault: Fault, *, batch_id: str, custom_id: str) -> JsonObject:
    """Return what ``fault`` makes of ``result``; a result that was not succeeded stays as it is."""
    kind = fault.with_
    if result["type"] != "succeeded" or kind in SHAPE_FAULTS:
        return result
    if kind in ("expired", "canceled"):
        return {"type": kind}
    if kind == "errored":
        return errored(
            fault.error_type or "api_error", fault.message or "Internal server error", batch_id, custom_id
        )
    if kind == "invalid-output":
        return _with_text(result, '{"not_in_the_schema":true}')
    if kind == "lone-surrogate":
        return _with_text(result, _marked(_text(result)))
    return _stopped(result, kind)


def errored(error_type: str, message: str, batch_id: str, custom_id: str) -> JsonObject:
    """Return an errored result, nested as the API does."""
    request_id = derived_id("req", batch_id, custom_id)
    return {"type": "errored", "error": error_body(error_type, message, request_id)}


def encode_line(custom_id: str, result: JsonObject) -> bytes:
    """Return one line of the results, with a lone surrogate escape where one was ordered."""
    line = encode({"custom_id": custom_id, "result": result}) + b"\n"
    mark = _SURROGATE_MARK.encode()
    return line.replace(mark, b"\\ud800") if mark in line else line


def foreign_line(line: bytes, custom_id: str) -> bytes:
    """Return ``line`` under a custom_id that nobody sent."""
    foreign = derived_id("foreign", custom_id)
    return line.replace(encode(custom_id), encode(foreign), 1)


def _stopped(result: JsonObject, stop_reason: str) -> JsonObject:
    message = {**result["message"], "stop_reason": stop_reason, "stop_sequence": None}
    if stop_reason == "refusal":
        message["content"] = []
        message["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
        return {**result, "message": message}
    text = _text(result)
    return _with_text({**result, "message": message}, text[: len(text) // 2])


def _text(result: JsonObject) -> str:
    return "".join(block.get("text", "") for block in result["message"]["content"])


def _with_text(result: JsonObject, text: str) -> JsonObject:
    content = [block for block in result["message"]["content"] if block["type"] == "thinking"]
    content.append({"type": "text", "text": text, "citations": None})
    return {**result, "message": {**result["message"], "content": content}}


def _marked(text: str) -> str:
    """Put the mark into the last string of a JSON text, or at the end of any other."""
    marked, count = _LAST_STRING_VALUE.subn(lambda found: f'{found[1]}{_SURROGATE_MARK}"', text, count=1)
    return marked if count and text.startswith("{") else text + _SURROGATE_MARK
