"""
What the command line takes, once for ``claude-batch`` and once for ``airflow claude-batch``. Data only.

Every ``airflow`` command imports this module, so it imports nothing that is slow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from airflow.cli.cli_config import CLICommand

DESCRIPTION = "Look after Claude batch submissions."


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command, as ``argparse`` takes it."""

    flags: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """
    One command.

    :param module: In this package; its ``run`` takes the arguments and returns the exit code.
    """

    name: str
    help: str
    module: str
    arguments: tuple[Argument, ...]


_MANIFEST = Argument(("manifest",), {"help": "URI of a manifest folder, as list shows it"})
_STAGING = Argument(
    ("staging_path",), {"nargs": "?", "help": "staging root; default: the one that is configured"}
)
_YES = Argument(("--yes",), {"action": "store_true", "help": "do not ask"})
_JSON = Argument(("--json",), {"action": "store_true", "dest": "is_json", "help": "print JSON"})

COMMANDS = (
    Command(
        "list",
        "show the submissions under a staging root, newest first",
        "list_submissions",
        (
            _STAGING,
            Argument(("--dag-id",), {"help": "only submissions of this Dag"}),
            Argument(("--since",), {"type": float, "metavar": "DAYS", "help": "only snapshots this young"}),
            Argument(
                ("--open",), {"action": "store_true", "dest": "is_open", "help": "only what is not published"}
            ),
            _JSON,
        ),
    ),
    Command(
        "show",
        "show what is on record of a submission, and what a retry would do",
        "show",
        (
            _MANIFEST,
            Argument(
                ("--live",), {"action": "store_true", "dest": "is_live", "help": "ask the API too; free"}
            ),
            _JSON,
        ),
    ),
    Command(
        "costs",
        "show what was spent, on what, and how it changed",
        "costs",
        (
            _STAGING,
            Argument(
                ("--by",),
                {
                    "default": "dag,model",
                    "metavar": "GROUPS",
                    "help": "of dag, task, run, model, day, with commas between; default: %(default)s",
                },
            ),
            Argument(
                ("--since",),
                {
                    "type": int,
                    "metavar": "DAYS",
                    "default": 30,
                    "help": "the last days, today among them, against as many before; default: %(default)s",
                },
            ),
            _JSON,
        ),
    ),
    Command(
        "cancel",
        "cancel the batches of a submission that have not ended",
        "cancel",
        (_MANIFEST, _YES),
    ),
    Command(
        "adopt",
        "give a shard whose answer was lost the batch that it is, once that is proven",
        "adopt",
        (
            _MANIFEST,
            Argument(("shard",), {"type": int, "help": "number of the shard, as show shows it"}),
            Argument(("batch_id",), {"help": "an ended batch"}),
            Argument(
                ("--round",),
                {
                    "type": int,
                    "default": 0,
                    "dest": "round_index",
                    "help": "of the shard; default: %(default)s",
                },
            ),
            Argument(
                ("--unproven",),
                {"action": "store_true", "help": "take an ended batch whose results cannot be read, too"},
            ),
            _YES,
        ),
    ),
    Command(
        "doctor",
        "check the connection, the API's limits, the staging root and Airflow",
        "doctor",
        (
            Argument(
                ("--claude-conn-id",),
                {"default": "anthropic_default", "help": "connection; default: %(default)s"},
            ),
            Argument(("--staging-path",), {"help": "staging root; default: the one that is configured"}),
            Argument(
                ("--requests",),
                {
                    "type": int,
                    "help": "requests of a shard that the queue is to take; default: the largest",
                },
            ),
        ),
    ),
    Command(
        "gc",
        "remove request texts that are no longer to be kept",
        "gc",
        (
            _STAGING,
            Argument(("--dry-run",), {"action": "store_true", "help": "only say what would be done"}),
        ),
    ),
)


def get_cli_commands() -> list[CLICommand]:
    """Return the same commands for ``airflow``, which finds this function in the provider's metadata."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    make_argument: Callable[..., Arg] = Arg
    return [
        GroupCommand(
            name="claude-batch",
            help=DESCRIPTION,
            subcommands=[
                ActionCommand(
                    name=command.name,
                    help=command.help,
                    func=_run_for_airflow(command),
                    args=[
                        make_argument(argument.flags, **argument.options) for argument in command.arguments
                    ],
                )
                for command in COMMANDS
            ],
        )
    ]


def _run_for_airflow(command: Command) -> Callable[[Namespace], None]:
    def run(given: Namespace) -> None:
        from airflow_provider_claude_batch.cli.main import run_command

        # Airflow takes no exit code from a command.
        if code := run_command(command, given):
            raise SystemExit(code)

    return run
