"""
Faults on order, each counted when it strikes.

A fault on a call strikes the next calls of its operation; one on ``batch`` or ``lines`` is laid on the next
batches to be created and shows in how they end or in their results.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from airflow_provider_claude_batch.emulator.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable

Operation = Literal[
    "create",
    "retrieve",
    "list",
    "cancel",
    "delete",
    "results",
    "messages",
    "count_tokens",
    "models",
    "batch",
    "lines",
]
CallFault = Literal[
    "status",
    "spend-limit",
    "reset-connection",
    "close-connection",
    "slow-answer",
    "slow-upload",
    "slow-download",
    "cut-results",
    "lag",
]
LineFault = Literal[
    "errored",
    "expired",
    "canceled",
    "refusal",
    "max_tokens",
    "pause_turn",
    "model_context_window_exceeded",
    "invalid-output",
    "lone-surrogate",
    "doubled",
    "foreign",
    "missing",
]
Stage = Literal["headers", "received", "accepted"]

_CALL_KINDS: frozenset[str] = frozenset(get_args(CallFault))
_KINDS: dict[str, frozenset[str]] = {
    "batch": frozenset({"never-ends"}),
    "lines": frozenset(get_args(LineFault)),
}


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """
    One fault as ordered, and how often it has struck.

    :param operation: Which calls it strikes; ``batch`` and ``lines`` for the next batches created.
    :param with_: What happens. ``never-ends`` belongs to ``batch``, the kinds of ``LineFault`` to ``lines``.
    :param after: How far a call gets before it strikes: its headers have come, its body has come, or it has
        been accepted and only the answer is lost.
    :param times: How many calls or batches it strikes; ``None`` for all, and then it is never left over.
    :param status: HTTP status of a ``status`` fault.
    :param message: Error message of a ``status`` fault or of an errored line.
    :param error_type: Error type of a ``status`` fault or of an errored line.
    :param error_code: ``details.error_code`` of a ``status`` fault.
    :param retry_after: Seconds in the header ``retry-after`` of a ``status`` fault; ``None`` sends no such
        header.
    :param form: What the body of a ``status`` fault is: the API's JSON, or HTML as from a proxy.
    :param seconds: Length of a ``slow-answer`` or of a ``lag``.
    :param bytes_per_second: Pace of a ``slow-upload`` or ``slow-download``.
    :param lines: Whole lines that are sent before ``cut-results`` cuts; ``None`` is half of them.
    :param at: Where ``cut-results`` cuts: in the middle of the next line or at the end of the last.
    :param framing: How the length of a cut answer was announced.
    :param share: Share of the lines that a line fault strikes, at least one of them.
    :param count: How many lines it strikes, in place of a share.
    :param custom_ids: Which lines it strikes, in place of a share.
    :param used: How often it has struck.
    """

    operation: Operation
    with_: CallFault | LineFault | Literal["never-ends"] = msgspec.field(default="status", name="with")
    after: Stage = "received"
    times: int | None = 1
    status: int | None = None
    message: str | None = None
    error_type: str | None = None
    error_code: str | None = None
    retry_after: float | None = None
    form: Literal["json", "html"] = "json"
    seconds: float = 0.0
    bytes_per_second: float | None = None
    lines: int | None = None
    at: Literal["line-middle", "line-end"] = "line-middle"
    framing: Literal["content-length", "chunked", "none"] = "content-length"
    share: float | None = None
    count: int | None = None
    custom_ids: tuple[str, ...] | None = None
    used: int = 0

    def __post_init__(self) -> None:
        kinds = _KINDS.get(self.operation, _CALL_KINDS)
        if self.with_ not in kinds:
            raise ValueError(
                f"{self.operation!r} cannot fail with {self.with_!r}; it can with {sorted(kinds)}"
            )
        if self.with_ == "status" and self.status is None:
            raise ValueError("a fault with 'status' needs a status")

    @property
    def left(self) -> int:
        """Return how often it has yet to strike; zero for one without a limit."""
        return 0 if self.times is None else self.times - self.used


_decode_faults = msgspec.json.Decoder(list[Fault]).decode


@dataclass(slots=True)
class Faults:
    """
    The faults on order, oldest first.

    :param write: Called with the whole list, encoded, whenever it changes.
    :param ordered: The list.
    """

    write: Callable[[bytes], None]
    ordered: list[Fault] = field(default_factory=list)

    def load(self, encoded: bytes) -> None:
        """Take over a list that was written before."""
        self.ordered = _decode_faults(encoded)

    def order(self, faults: list[Fault]) -> None:
        """Put ``faults`` on order."""
        self.ordered.extend(faults)
        self._changed()

    def clear(self) -> None:
        """Forget all faults and their counts; batches already created keep theirs."""
        self.ordered.clear()
        self._changed()

    def take_for_call(self, operation: str) -> Fault | None:
        """Count and return a strike of the first fault that waits for a call of ``operation``."""
        fault = next((fault for fault in self._waiting() if fault.operation == operation), None)
        if fault is not None:
            fault.used += 1
            self._changed()
        return fault

    def give_back(self, fault: Fault) -> None:
        """Take back a strike: the call never got as far as the fault."""
        fault.used -= 1
        self._changed()

    def take_for_batch(self) -> list[Fault]:
        """Count and return one strike of every fault that waits for a batch."""
        taken = [fault for fault in self._waiting() if fault.operation in ("batch", "lines")]
        for fault in taken:
            fault.used += 1
        if taken:
            self._changed()
        return taken

    @property
    def left(self) -> int:
        """Return how many strikes are still to come."""
        return sum(fault.left for fault in self.ordered)

    @property
    def used(self) -> int:
        """Return how many strikes there have been."""
        return sum(fault.used for fault in self.ordered)

    def _waiting(self) -> list[Fault]:
        return [fault for fault in self.ordered if fault.times is None or fault.left > 0]

    def _changed(self) -> None:
        self.write(encode(self.ordered))
