"""
Write the results of a batch: first an answer to every request, then, when it has ended, what came of it.

Both run in a thread and hold one request at a time; what they write replaces nothing until it is whole.
"""

from __future__ import annotations

import json
import logging
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.emulator.answers import answer, message
from airflow_provider_claude_batch.emulator.chance import fraction, shuffled
from airflow_provider_claude_batch.emulator.check_params import Circumstances, ParamsError, check_params
from airflow_provider_claude_batch.emulator.line_faults import (
    SHAPE_FAULTS,
    choose_lines,
    encode_line,
    errored,
    fault_of_line,
    foreign_line,
    struck,
)
from airflow_provider_claude_batch.emulator.split_body import BatchRequest, decode_request
from airflow_provider_claude_batch.emulator.tally import Tally
from airflow_provider_claude_batch.emulator.wire import JsonObject, derived_id

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_claude_batch.emulator.store import Batch
    from airflow_provider_claude_batch.emulator.timeline import Ending
    from airflow_provider_claude_batch.emulator.usage import PromptCache

logger = logging.getLogger(__name__)

_LINES_BETWEEN_CHECKS = 256


class StoppedError(Exception):
    """The emulator is stopping; the work is done again when it starts."""


@dataclass(frozen=True, slots=True)
class Answering:
    """
    What answering a batch needs besides its requests.

    :param cache: The prompt cache, shared by all batches.
    :param cache_hit_rate: Share of requests that find an entry where there is one.
    :param stop: Set when the emulator stops.
    """

    cache: PromptCache
    cache_hit_rate: float
    stop: threading.Event


def results_path(folder: Path) -> Path:
    """Return the file with the results of an ended batch."""
    results = folder / "results.jsonl"
    return results if results.exists() else folder / "answers.jsonl"


def write_answers(batch: Batch, folder: Path, answering: Answering) -> Tally:
    """
    Answer all requests of ``batch`` into ``answers.jsonl``, in shuffled order.

    :returns: The counts and the usage if the batch ends without being cut short.
    :raises StoppedError: The emulator is stopping.
    """
    tally = Tally()
    chosen = choose_lines(batch.line_faults, batch_id=batch.id, request_count=batch.request_count)
    part = folder / "answers.part"
    with part.open("wb") as answers:
        for place, request in enumerate(_shuffled(folder / "requests.jsonl", batch)):
            if place % _LINES_BETWEEN_CHECKS == 0 and answering.stop.is_set():
                raise StoppedError
            result = _result(request, batch, place, answering)
            fault = fault_of_line(batch.line_faults, chosen, place=place, custom_id=request.custom_id)
            if fault is not None:
                result = struck(result, fault, batch_id=batch.id, custom_id=request.custom_id)
            tally.add(result)
            answers.write(encode_line(request.custom_id, result))
    part.rename(folder / "answers.jsonl")
    return tally


def write_results(batch: Batch, folder: Path, ending: Ending) -> Tally | None:
    """
    Write what came of ``batch`` where that differs from its answers.

    :returns: The counts and the usage, or ``None`` if the answers stand as they are.
    """
    has_shape_faults = any(fault.with_ in SHAPE_FAULTS for fault in batch.line_faults)
    if ending.finished_count >= batch.request_count and not has_shape_faults:
        return None
    tally = Tally()
    chosen = choose_lines(batch.line_faults, batch_id=batch.id, request_count=batch.request_count)
    part = folder / "results.part"
    with (folder / "answers.jsonl").open("rb") as answers, part.open("wb") as results:
        for place, line in enumerate(answers):
            custom_id, result = _decode_line(line)
            is_finished = place < ending.finished_count
            came = result if is_finished else {"type": ending.rest}
            tally.add(came)
            fault = fault_of_line(batch.line_faults, chosen, place=place, custom_id=custom_id)
            written = line if is_finished else encode_line(custom_id, came)
            results.writelines(_shaped(written, custom_id, fault.with_ if fault else None))
    part.rename(folder / "results.jsonl")
    return tally


def _shaped(line: bytes, custom_id: str, kind: str | None) -> list[bytes]:
    if kind == "missing":
        return []
    if kind == "doubled":
        return [line, line]
    if kind == "foreign":
        return [line, foreign_line(line, custom_id)]
    return [line]


def _shuffled(path: Path, batch: Batch) -> Iterator[BatchRequest]:
    """Yield the requests in an order of the batch's own, which is not the one they were sent in."""
    starts = array("Q", [0])
    with path.open("rb") as requests:
        for line in requests:
            starts.append(starts[-1] + len(line))
        for index in shuffled(len(starts) - 1, seed=batch.id):
            requests.seek(starts[index])
            yield decode_request(requests.read(starts[index + 1] - starts[index]))


def _result(request: BatchRequest, batch: Batch, place: int, answering: Answering) -> JsonObject:
    try:
        params = msgspec.json.decode(request.params)
        now = batch.created_at + (batch.seconds or 0.0) * (place + 1) / batch.request_count
        return {
            "type": "succeeded",
            "message": _message(params, request.custom_id, batch, answering, now=now),
        }
    except ParamsError as error:
        return errored(error.error_type, str(error), batch.id, request.custom_id)
    except msgspec.DecodeError as error:
        return errored("invalid_request_error", f"params: {error}", batch.id, request.custom_id)
    except Exception:
        logger.exception("A request of %s could not be answered", batch.id)
        return errored("api_error", "Internal server error", batch.id, request.custom_id)


def _message(
    params: JsonObject, custom_id: str, batch: Batch, answering: Answering, *, now: float
) -> JsonObject:
    model = check_params(params, Circumstances(batch.api_version, batch.betas, batch.user_profile_id))
    reply = answer(params, model)
    misses = answering.cache_hit_rate < 1 and fraction(f"{batch.id} {custom_id}") >= answering.cache_hit_rate
    usage = answering.cache.use(params, scope=f"{batch.workspace} {model.id}", now=now, misses=misses)
    return message(params, reply, usage, message_id=derived_id("msg", batch.id, custom_id), tier="batch")


def _decode_line(line: bytes) -> tuple[str, JsonObject]:
    try:
        value = msgspec.json.decode(line)
    except msgspec.DecodeError:
        value = json.loads(line)  # reads a lone surrogate
    return value["custom_id"], value["result"]
