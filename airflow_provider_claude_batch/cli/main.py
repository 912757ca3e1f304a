"""The command ``claude-batch``: what a person does with manifest folders, and with the batches in them."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.definition import COMMANDS, DESCRIPTION, Command
from airflow_provider_claude_batch.errors import ClaudeBatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: With this Airflow's own commands look connections up in the metadata database too, as a server does.
_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :param arguments: Of the command line; by default the process's own.
    :return: Exit code.
    """
    parser = argparse.ArgumentParser(prog="claude-batch", description=DESCRIPTION)
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        of_command = parsers.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.arguments:
            of_command.add_argument(*argument.flags, **argument.options)
        of_command.set_defaults(command=command)
    given = parser.parse_args(arguments)
    return run_command(given.command, given)


def run_command(command: Command, given: argparse.Namespace) -> int:
    """
    Run one command; what is expected to go wrong becomes one line on stderr.

    :return: Exit code: 1 where the command did not do what it was asked.
    """
    with _as_server(), _logs_apart_from_output():
        try:
            run = importlib.import_module(f"{__package__}.{command.module}").run
            code: int = run(given)
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read the output has seen enough; nothing more can be written, not at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (ClaudeBatchError, OSError) as error:
            print(f"claude-batch {command.name}: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"\nclaude-batch {command.name}: interrupted", file=sys.stderr)
            return _INTERRUPTED
        return code


@contextmanager
def _as_server() -> Iterator[None]:
    before = os.environ.get(_CONTEXT)
    os.environ.setdefault(_CONTEXT, "server")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_CONTEXT, None)


@contextmanager
def _logs_apart_from_output() -> Iterator[None]:
    """Keep log lines out of the output, which may be read by a program, and those of each request away."""
    http = logging.getLogger("httpx2")
    level = http.level
    http.setLevel(logging.WARNING)
    moved = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout
    ]
    for handler in moved:
        handler.setStream(sys.stderr)
    try:
        yield
    finally:
        http.setLevel(level)
        for handler in moved:
            handler.setStream(sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
