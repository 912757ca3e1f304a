"""The command line: ``claude-batch-emulator`` or ``python -m airflow_provider_claude_batch.emulator``."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.emulator.faults import Fault
from airflow_provider_claude_batch.emulator.server import Emulation
from airflow_provider_claude_batch.emulator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Serve until interrupted or terminated.

    :param arguments: The command line without the program's name; by default this process's.
    """
    options = _parser().parse_args(arguments)
    settings = Settings(
        seconds_per_batch=options.seconds_per_batch,
        seconds_to_cancel=options.seconds_to_cancel,
        tier=options.tier,
    )
    with ExitStack() as stack:
        state = options.state or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="claude-batch-emulator-"))
        )
        emulation = Emulation(state, settings, options.host, options.port)
        if options.faults is not None:
            emulation.batches.faults.order(msgspec.json.decode(options.faults.read_bytes(), type=list[Fault]))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: emulation.stop())
        sys.stdout.write(f"The Message Batches emulator listens on {emulation.url}\n")
        sys.stdout.flush()
        emulation.run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="claude-batch-emulator", description="Serve an emulation of Anthropic's Message Batches API."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8089, help="port; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="state folder (default: a temporary one)")
    parser.add_argument(
        "--seconds-per-batch",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="from a create to its end (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds-to-cancel",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="from a cancel to the end (default: %(default)s)",
    )
    parser.add_argument(
        "--tier",
        choices=["start", "build", "scale"],
        default="start",
        help="usage tier (default: %(default)s)",
    )
    parser.add_argument(
        "--faults", type=Path, metavar="FILE", help="JSON list of faults to order at the start"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
