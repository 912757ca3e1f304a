"""The endpoints under ``/_emulator/`` by which the emulator itself is looked at and told what to do."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from airflow_provider_claude_batch.emulator.batch_endpoints import base_url, batch_json
from airflow_provider_claude_batch.emulator.bill import bill
from airflow_provider_claude_batch.emulator.errors import invalid_request
from airflow_provider_claude_batch.emulator.faults import Fault
from airflow_provider_claude_batch.emulator.page import batch_page, overview
from airflow_provider_claude_batch.emulator.results import results_path
from airflow_provider_claude_batch.emulator.settings import changed
from airflow_provider_claude_batch.emulator.wire import JsonObject, encode, epoch_seconds, timestamp

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider_claude_batch.emulator.batches import Batches
    from airflow_provider_claude_batch.emulator.call_log import CallLog

_SAMPLE_LINES = 10


async def _overview(request: Request) -> Response:
    batches = _batches(request)
    shown = await _every_batch_json(request)
    now = timestamp(batches.clock.now()) or ""
    return HTMLResponse(
        overview(shown, _calls(request), bill(batches.store), batches.faults.ordered, now=now)
    )


async def _batch_page(request: Request) -> Response:
    batches = _batches(request)
    batch = await batches.find(request.path_params["batch_id"], None)
    sample = ""
    if batch.ended_at is not None:
        with results_path(batches.store.batch_folder(batch.id)).open(encoding="utf-8") as lines:
            sample = "".join(islice(lines, _SAMPLE_LINES))
    return HTMLResponse(batch_page(batch_json(batch, batches, base_url(request)), batch.usage, sample))


async def _list_batches(request: Request) -> Response:
    return _json(await _every_batch_json(request))


async def _show_calls(request: Request) -> Response:
    calls = _calls(request)
    counts: dict[str, dict[str, int]] = {}
    for (operation, status), count in calls.counts.items():
        counts.setdefault(operation, {})[status] = count
    return _json({"counts": counts, "calls": list(calls.notes)})


async def _show_bill(request: Request) -> Response:
    batches = _batches(request)
    await batches.every_batch()
    return _json(bill(batches.store))


async def _clock(request: Request) -> Response:
    clock = _batches(request).clock
    if request.method == "POST":
        order = await _body(request, dict[str, float | str])
        if "advance_seconds" in order:
            clock.advance(float(order["advance_seconds"]))
        elif "time" in order:
            clock.set_time(_epoch(order["time"]))
        else:
            raise invalid_request("advance_seconds or time: Field required")
        _batches(request).store.write_note("clock", encode(clock.offset_seconds))
    return _json({"time": timestamp(clock.now()), "offset_seconds": clock.offset_seconds})


async def _faults(request: Request) -> Response:
    faults = _batches(request).faults
    if request.method == "POST":
        order = await _body(request, list[Fault] | Fault)
        faults.order(order if isinstance(order, list) else [order])
    elif request.method == "DELETE":
        faults.clear()
    return _json({"faults": faults.ordered, "left": faults.left, "used": faults.used})


async def _settings(request: Request) -> Response:
    batches = _batches(request)
    if request.method == "PATCH":
        changes = await _body(request, dict[str, object])
        try:
            batches.settings = changed(batches.settings, changes)
        except msgspec.ValidationError as error:
            raise invalid_request(str(error)) from None
    return _json(batches.settings)


async def _every_batch_json(request: Request) -> list[JsonObject]:
    batches, base = _batches(request), base_url(request)
    return [batch_json(batch, batches, base) for batch in await batches.every_batch()]


async def _body(request: Request, form: Any) -> Any:
    try:
        return msgspec.json.decode(await request.body(), type=form)
    except msgspec.DecodeError as error:
        raise invalid_request(str(error)) from None


def _epoch(time: float | str) -> float:
    try:
        return epoch_seconds(time) if isinstance(time, str) else time
    except ValueError as error:
        raise invalid_request(f"time: {error}") from None


def _batches(request: Request) -> Batches:
    batches: Batches = request.app.state.batches
    return batches


def _calls(request: Request) -> CallLog:
    calls: CallLog = request.app.state.calls
    return calls


def _json(value: object) -> Response:
    return Response(encode(value), media_type="application/json")


ROUTES = [
    Route("/_emulator/", _overview),
    Route("/_emulator/batches", _list_batches),
    Route("/_emulator/batches/{batch_id}", _batch_page),
    Route("/_emulator/calls", _show_calls),
    Route("/_emulator/bill", _show_bill),
    Route("/_emulator/clock", _clock, methods=["GET", "POST"]),
    Route("/_emulator/faults", _faults, methods=["GET", "POST", "DELETE"]),
    Route("/_emulator/settings", _settings, methods=["GET", "PATCH"]),
]
