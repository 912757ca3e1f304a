"""The six operations on batches, as HTTP."""

from __future__ import annotations

import asyncio
import shutil
import zlib
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.emulator.call import Call, accepts_gzip, json_response
from airflow_provider_claude_batch.emulator.connection import CutResponse, FileResponse, slowed
from airflow_provider_claude_batch.emulator.errors import TOO_LARGE_MESSAGE, ApiError, invalid_request
from airflow_provider_claude_batch.emulator.split_body import BodySplitter
from airflow_provider_claude_batch.emulator.timeline import SECONDS_TO_ARCHIVE, SECONDS_TO_EXPIRY
from airflow_provider_claude_batch.emulator.wire import JsonObject, timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_claude_batch.emulator.batches import Batches
    from airflow_provider_claude_batch.emulator.store import Batch

_RESULT_TYPES = ("succeeded", "errored", "canceled", "expired")
_DEFAULT_LIMIT = 20
_MAX_LIMIT = 1000
_CHUNK_BYTES = 1 << 20
_RESULTS_TYPE = "application/x-jsonl"


async def create(call: Call) -> Response:
    """Accept a batch once its whole body has come and is right."""
    batches = call.batches
    incoming = batches.store.incoming_folder(call.request.state.request_id)
    try:
        request_count = await _receive(call, BodySplitter(incoming, batches.settings.max_requests))
        await call.reach("received")
        batch = batches.create(
            incoming,
            workspace=call.workspace,
            request_count=request_count,
            api_version=call.api_version,
            betas=call.betas,
            user_profile_id=call.user_profile_id,
        )
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return json_response(call, batch_json(batch, batches, base_url(call.request)))


async def retrieve(call: Call) -> Response:
    """Show a batch."""
    batch = await call.batches.find(_batch_id(call), call.workspace)
    return json_response(call, batch_json(batch, call.batches, base_url(call.request)))


async def list_batches(call: Call) -> Response:
    """Show a page of batches, newest first."""
    query = call.request.query_params
    if query.get("after_id") and query.get("before_id"):
        raise invalid_request("before_id: may not be combined with after_id")
    lag = call.takes("lag")
    created_until = None if lag is None else call.batches.clock.now() - lag.seconds
    if lag is not None:
        call.strike()
    found, has_more = await call.batches.page(
        call.workspace,
        limit=_limit(query.get("limit")),
        after_id=query.get("after_id"),
        before_id=query.get("before_id"),
        created_until=created_until,
    )
    data = [batch_json(batch, call.batches, base_url(call.request)) for batch in found]
    return json_response(
        call,
        {
            "data": data,
            "has_more": has_more,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
        },
    )


async def cancel(call: Call) -> Response:
    """Start to cancel a batch."""
    batch = await call.batches.cancel(_batch_id(call), call.workspace)
    return json_response(call, batch_json(batch, call.batches, base_url(call.request)))


async def delete(call: Call) -> Response:
    """Delete a batch."""
    await call.batches.delete(_batch_id(call), call.workspace)
    return json_response(call, {"id": _batch_id(call), "type": "message_batch_deleted"})


async def results(call: Call) -> Response:
    """Stream the results of a batch."""
    path = await call.batches.results(_batch_id(call), call.workspace)
    cut, slow = call.takes("cut-results"), call.takes("slow-download")
    if cut is not None:
        call.strike()
        return CutResponse(path, _RESULTS_TYPE, cut, request_id=call.request.state.request_id)
    if slow is not None:
        call.strike()
    return FileResponse(
        path,
        _RESULTS_TYPE,
        is_compressed=accepts_gzip(call),
        bytes_per_second=slow.bytes_per_second if slow else None,
    )


def batch_json(batch: Batch, batches: Batches, base: str) -> JsonObject:
    """
    Return ``batch`` as the API shows it.

    :param base: Scheme and host that the client dialed, for ``results_url``.
    """
    has_ended = batch.ended_at is not None
    is_archived = has_ended and batches.is_archived(batch)
    counts = {"processing": 0 if has_ended else batch.request_count}
    counts |= {name: batch.counts.get(name, 0) if has_ended else 0 for name in _RESULT_TYPES}
    unfinished = "in_progress" if batch.cancel_initiated_at is None else "canceling"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": "ended" if has_ended else unfinished,
        "request_counts": counts,
        "ended_at": timestamp(batch.ended_at),
        "created_at": timestamp(batch.created_at),
        "expires_at": timestamp(batch.created_at + SECONDS_TO_EXPIRY),
        "archived_at": timestamp(batch.created_at + SECONDS_TO_ARCHIVE) if is_archived else None,
        "cancel_initiated_at": timestamp(batch.cancel_initiated_at),
        "results_url": f"{base}/v1/messages/batches/{batch.id}/results"
        if has_ended and not is_archived
        else None,
    }


def base_url(request: Request) -> str:
    """Return scheme and host as the client dialed them."""
    return str(request.base_url).rstrip("/")


async def _receive(call: Call, splitter: BodySplitter) -> int:
    """Take the body of a create and return how many requests are in it."""
    max_bytes = call.batches.settings.max_body_bytes
    announced = call.request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        splitter.discard()
        raise ApiError(413, TOO_LARGE_MESSAGE)
    try:
        async for data in _limited(_decoded(call, _body(call)), max_bytes):
            splitter.feed(data)
    except BaseException:
        splitter.discard()
        raise
    await asyncio.to_thread(splitter.close)
    return splitter.request_count


async def _limited(body: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    received = 0
    async for data in body:
        received += len(data)
        if received > max_bytes:
            raise ApiError(413, TOO_LARGE_MESSAGE)
        yield data


def _body(call: Call) -> AsyncIterator[bytes]:
    slow = call.takes("slow-upload")
    if slow is None or not slow.bytes_per_second:
        return call.request.stream()
    call.strike()
    return slowed(call.request.stream(), slow.bytes_per_second)


async def _decoded(call: Call, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    encoding = call.request.headers.get("content-encoding", "identity")
    if encoding == "identity":
        async for data in body:
            yield data
        return
    if encoding != "gzip":
        raise ApiError(
            400,
            f"content-encoding: {encoding} is not supported",
            error_code="request_body_encoding_unsupported",
        )
    decompressor = zlib.decompressobj(wbits=31)
    try:
        async for data in body:
            yield decompressor.decompress(data, _CHUNK_BYTES)
            while decompressor.unconsumed_tail:
                yield decompressor.decompress(decompressor.unconsumed_tail, _CHUNK_BYTES)
        yield decompressor.flush()
    except zlib.error as error:
        raise ApiError(
            400, f"The request body is not valid gzip: {error}", error_code="request_body_encoding_invalid"
        ) from None


def _batch_id(call: Call) -> str:
    return str(call.request.path_params["batch_id"])


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_LIMIT
    try:
        limit = int(text)
    except ValueError:
        raise invalid_request(
            "limit: Input should be a valid integer, unable to parse string as an integer"
        ) from None
    if limit < 1:
        raise invalid_request("limit: Input should be greater than or equal to 1")
    if limit > _MAX_LIMIT:
        raise invalid_request(f"limit: Input should be less than or equal to {_MAX_LIMIT}")
    return limit
