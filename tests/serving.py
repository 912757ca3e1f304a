"""Servers of a test's own."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Server = TypeVar("Server", bound=socketserver.TCPServer)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve in a thread, and stop and close the server afterwards."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
