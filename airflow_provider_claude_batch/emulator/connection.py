"""What happens to the connection itself: resets, closes, and answers that stop short."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from airflow_provider_claude_batch.emulator.faults import Fault

_CHUNK_BYTES = 256 * 1024
_SLOW_CHUNKS_PER_SECOND = 10
_GZIP_LEVEL = 1


class NoResponse(Response):
    """Sends nothing, for a connection that is gone or about to be."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the connection to be gone."""
        del scope, send
        await _gone(receive)


def transport_of(scope: Scope) -> asyncio.Transport:
    """Return the transport of the connection, which :mod:`.server` puts within reach."""
    transport: asyncio.Transport = scope["state"]["protocol"].transport
    return transport


def reset_connection(request: Request) -> None:
    """Break the connection off so that the client sees a reset."""
    transport = transport_of(request.scope)
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def close_connection(request: Request) -> None:
    """Close the connection in order, without an answer."""
    transport_of(request.scope).close()


class FileResponse(Response):
    """
    Sends a file, reading as the client takes it.

    :param path: What is sent.
    :param is_compressed: Whether it is sent gzipped.
    :param bytes_per_second: The pace, if it is to be slow.
    """

    def __init__(
        self,
        path: Path,
        media_type: str,
        *,
        is_compressed: bool = False,
        bytes_per_second: float | None = None,
    ) -> None:
        super().__init__(None, media_type=media_type)
        self.path = path
        self.is_compressed = is_compressed
        self.bytes_per_second = bytes_per_second
        del self.headers["content-length"]
        if is_compressed:
            self.headers["content-encoding"] = "gzip"
        else:
            self.headers["content-length"] = str(path.stat().st_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        chunks = _chunks(self.path, self.bytes_per_second)
        for chunk in gzipped(chunks) if self.is_compressed else chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if self.bytes_per_second:
                await asyncio.sleep(len(chunk) / self.bytes_per_second)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class CutResponse(Response):
    """
    Sends the beginning of a file, then closes the connection.

    :param fault: Where it is cut and how its length was announced.
    """

    def __init__(self, path: Path, media_type: str, fault: Fault, *, request_id: str) -> None:
        super().__init__(None, headers={"request-id": request_id}, media_type=media_type)
        self.path = path
        self.fault = fault
        del self.headers["content-length"]
        if fault.framing == "content-length":
            self.headers["content-length"] = str(path.stat().st_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes before the cut."""
        transport = transport_of(scope)
        start: Message = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        if self.fault.framing == "none":
            transport.write(_head_without_length(self.raw_headers))
            for line in _lines_to_cut(self.path, self.fault):
                transport.write(line)
        else:
            await send(start)
            for line in _lines_to_cut(self.path, self.fault):
                await send({"type": "http.response.body", "body": line, "more_body": True})
        transport.close()
        await _gone(receive)


def gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield ``chunks`` as one gzip stream."""
    compressor = zlib.compressobj(_GZIP_LEVEL, wbits=31)
    for chunk in chunks:
        if compressed := compressor.compress(chunk):
            yield compressed
    yield compressor.flush()


async def slowed(body: AsyncIterator[bytes], bytes_per_second: float) -> AsyncIterator[bytes]:
    """Yield a request's body no faster than asked, so that the client has to wait."""
    async for data in body:
        await asyncio.sleep(len(data) / bytes_per_second)
        yield data


def _chunks(path: Path, bytes_per_second: float | None) -> Iterator[bytes]:
    size = _CHUNK_BYTES
    if bytes_per_second:
        size = max(1, min(size, int(bytes_per_second / _SLOW_CHUNKS_PER_SECOND)))
    with path.open("rb") as file:
        while chunk := file.read(size):
            yield chunk


def _lines_to_cut(path: Path, fault: Fault) -> Iterator[bytes]:
    with path.open("rb") as file:
        count = sum(1 for _ in file) // 2 if fault.lines is None else fault.lines
        file.seek(0)
        for place, line in enumerate(file):
            if place < count:
                yield line
            elif fault.at == "line-middle":
                yield line[: len(line) // 2]
                return
            else:
                return


def _head_without_length(headers: list[tuple[bytes, bytes]]) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"connection: close", *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
