"""
The emulator as a uvicorn server.

The server's protocol is uvicorn's own; it only puts the connection's transport within reach of the
application, for faults that strike the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from airflow_provider_claude_batch.emulator.app import make_app
from airflow_provider_claude_batch.emulator.batches import Batches
from airflow_provider_claude_batch.emulator.clock import Clock
from airflow_provider_claude_batch.emulator.faults import Faults
from airflow_provider_claude_batch.emulator.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_provider_claude_batch.emulator.settings import Settings

_KEEP_ALIVE_SECONDS = 120
_GRACE_SECONDS = 0.5


def _protocol(*, app_state: dict[str, object], **arguments: object) -> asyncio.Protocol:
    """Make uvicorn's protocol, itself in ``scope["state"]["protocol"]``."""
    make: Callable[..., asyncio.Protocol] = AutoHTTPProtocol
    state = dict(app_state)
    protocol = state["protocol"] = make(app_state=state, **arguments)
    return protocol


class EmulatorServer(uvicorn.Server):
    """A uvicorn server that stops as soon as it is told to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Wait to be told to stop."""
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the server."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is idle, and give the calls that are being answered a moment."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _, slow = await asyncio.wait(self.server_state.tasks, timeout=_GRACE_SECONDS)
            for task in slow:
                task.cancel()

    def stop(self) -> None:
        """Tell the server to stop, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)


def _listening_socket(host: str, port: int) -> socket.socket:
    """
    Return a bound socket that names its protocol.

    Only then does asyncio turn Nagle's algorithm off for its connections; otherwise every answer on a kept
    connection takes 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


@dataclass(slots=True)
class Emulation:
    """
    One emulator: its state folder opened, its port bound, ready to be run in any thread.

    :param state: The state folder.
    :param settings: What it plays.
    :param host: Address to listen on.
    :param port: Port to listen on; 0 takes a free one.
    """

    state: Path
    settings: Settings
    host: str = "127.0.0.1"
    port: int = 0
    batches: Batches = field(init=False)
    _socket: socket.socket = field(init=False)
    _server: EmulatorServer = field(init=False)

    def __post_init__(self) -> None:
        self._socket = _listening_socket(self.host, self.port)
        self.port = self._socket.getsockname()[1]
        store = Store(self.state)
        faults = Faults(lambda encoded: store.write_note("faults", encoded))
        faults.load(store.note("faults") or b"[]")
        clock = Clock(json.loads(store.note("clock") or b"0"))
        self.batches = Batches(store, clock, faults, self.settings)
        config = uvicorn.Config(
            make_app(self.batches),
            http=cast("type[asyncio.Protocol]", _protocol),
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        self._server = EmulatorServer(config)

    @property
    def url(self) -> str:
        """Return the base URL for clients on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def run(self) -> None:
        """Serve until told to stop, then close everything."""
        with self._closing():
            self._server.run([self._socket])

    def stop(self) -> None:
        """Tell :meth:`run` to come to its end, from any thread."""
        self._server.stop()

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._socket.close()
            self.batches.close()
            self.batches.store.close()
