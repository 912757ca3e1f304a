"""
Airflow's command line, made interruptible and kept on the loopback interface.

Run by file name, by :mod:`demo.airflow_standalone` only. ``airflow standalone`` stops on SIGINT alone, which
a process started in the background of a shell ignores; nobody would stop it where its starter was killed; and
Airflow's log servers take no setting for the address they bind.
"""

import functools
import os
import signal
import sys
import threading
import time

import uvicorn
from airflow.__main__ import main


def bind_to_loopback() -> None:
    """Make uvicorn bind 127.0.0.1 where its caller asks for every interface by an empty host."""
    run_server = uvicorn.run

    @functools.wraps(run_server)
    def run_on_loopback(app: object, *, host: str = "127.0.0.1", **settings: object) -> None:
        run_server(app, host=host or "127.0.0.1", **settings)

    uvicorn.run = run_on_loopback


def stop_with(parent: int) -> None:
    """Interrupt this process once ``parent`` is no longer the process that started it."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[1:2] in (["standalone"], ["celery"]):
        threading.Thread(target=stop_with, args=[os.getppid()], daemon=True).start()
    bind_to_loopback()
    main()
