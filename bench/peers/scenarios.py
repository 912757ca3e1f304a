"""What happens to the runs that are compared. Data only: every Dag file imports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Fault = dict[str, Any]

#: A batch that is waited for is still in progress when something has happened to the wait.
_LONG_SECONDS = 45.0
#: How long polls fail: enough for five of a peer, each made three times by an SDK that retries twice.
OUTAGE_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Kill:
    """
    SIGKILL for the task process, once.

    :param function: Of the pipeline's own: the one that posts the batch or the one that polls it.
    :param event: Where in it: at its call, or at its return.
    """

    function: Literal["posts", "polls"]
    event: Literal["call", "return"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    One thing that happens to a run.

    :param name: Part of Dag and connection ids.
    :param title: What the table says.
    :param seconds_per_batch: How long the emulator takes for a batch.
    :param faults: Ordered from the emulator before the run.
    :param kill: Whom SIGKILL strikes, and where.
    :param while_deferred: What is done once a task waits in the triggerer.
    :param is_cleared_after_success: Clear the whole run once it has succeeded.
    :param deferrable: Wait in the triggerer, else in a worker.
    """

    name: str
    title: str
    seconds_per_batch: float = 6.0
    faults: tuple[Fault, ...] = ()
    kill: Kill | None = None
    while_deferred: Literal["", "kill the triggerer", "clear the task", "clear the run", "fail polls"] = ""
    is_cleared_after_success: bool = False
    deferrable: bool = True


@dataclass(frozen=True, slots=True)
class Speed(Scenario):
    """The run that is timed: nothing happens to it, and it has more rows."""

    name: str = "speed"
    title: str = "speed"
    seconds_per_batch: float = 1.0


SPEED = Speed()

#: The API cannot be asked about any batch.
OUTAGE: tuple[Fault, ...] = tuple(
    {"operation": operation, "status": 503, "times": None} for operation in ("retrieve", "list")
)

SCENARIOS = (
    Scenario("no_fault", "no fault"),
    Scenario(
        "killed_before_create", "task killed right before the create call", kill=Kill("posts", event="call")
    ),
    Scenario(
        "answer_lost",
        "connection reset after the batch was accepted",
        faults=({"operation": "create", "with_": "reset-connection", "after": "accepted"},),
    ),
    Scenario(
        "bad_gateway",
        "502 after the batch was accepted",
        faults=({"operation": "create", "status": 502, "after": "accepted"},),
    ),
    Scenario(
        "killed_after_create",
        "task killed right after the create's answer",
        kill=Kill("posts", event="return"),
    ),
    Scenario(
        "triggerer_killed",
        "triggerer killed while deferred, another started",
        seconds_per_batch=_LONG_SECONDS,
        while_deferred="kill the triggerer",
    ),
    Scenario(
        "worker_killed",
        "task killed while it waits in a worker",
        kill=Kill("polls", event="return"),
        deferrable=False,
    ),
    Scenario("cleared_after", "run cleared after success, same input", is_cleared_after_success=True),
    Scenario(
        "cleared_deferred",
        "deferred task cleared, half of the batch done",
        seconds_per_batch=_LONG_SECONDS,
        while_deferred="clear the task",
    ),
    Scenario(
        "run_cleared_deferred",
        "whole run cleared while deferred, half of the batch done",
        seconds_per_batch=_LONG_SECONDS,
        while_deferred="clear the run",
    ),
    Scenario(
        "results_cut_in_line",
        "results cut in the middle of a line",
        faults=({"operation": "results", "with_": "cut-results", "at": "line-middle"},),
    ),
    Scenario(
        "results_cut_at_end",
        "results cut at the end of a line, length not announced",
        faults=({"operation": "results", "with_": "cut-results", "at": "line-end", "framing": "none"},),
    ),
    Scenario(
        "rows_errored",
        "5% of the rows errored, overloaded_error",
        faults=({"operation": "lines", "with_": "errored", "share": 0.05, "error_type": "overloaded_error"},),
    ),
    Scenario(
        "polls_fail",
        f"polls answered 503 for {OUTAGE_SECONDS:.0f} s while deferred",
        seconds_per_batch=_LONG_SECONDS,
        while_deferred="fail polls",
    ),
)
