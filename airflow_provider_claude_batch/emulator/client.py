"""A client of an emulator's admin endpoints: the same for one in this process, in another, or at a URL."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_claude_batch.emulator.wire import JsonObject

_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Calls(Sequence[JsonObject]):
    """
    The calls that an emulator was asked, oldest first.

    :param notes: Operation, method, path, status, time, request id, workspace and fault of each.
    :param counts: Calls by operation, then by status as text; ``no answer`` where the connection was broken
        off.
    """

    notes: list[JsonObject]
    counts: dict[str, dict[str, int]]

    def count_of(self, operation: str, status: int | None = None) -> int:
        """Return how many calls of ``operation`` there were, with ``status`` if one is given."""
        by_status = self.counts.get(operation, {})
        return sum(by_status.values()) if status is None else by_status.get(str(status), 0)

    def __getitem__(self, index: Any) -> Any:
        return self.notes[index]

    def __len__(self) -> int:
        return len(self.notes)

    def __iter__(self) -> Iterator[JsonObject]:
        return iter(self.notes)


class EmulatorClient:
    """
    Looks at an emulator and tells it what to do.

    :param url: Its base URL, the one that the API's client gets too.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    @property
    def url(self) -> str:
        """Return the base URL for the API's client."""
        return self._url

    @property
    def batches(self) -> list[JsonObject]:
        """Return all batches as the API shows them, newest first."""
        found: list[JsonObject] = self._ask("GET", "batches")
        return found

    @property
    def calls(self) -> Calls:
        """Return the calls so far."""
        answer = self._ask("GET", "calls")
        return Calls(answer["calls"], answer["counts"])

    @property
    def bill(self) -> JsonObject:
        """
        Return the bill of all that was answered.

        ``total`` and ``messages`` hold tokens by kind and ``cost_usd`` as a :class:`~decimal.Decimal`;
        ``by_model`` is a list of the same, ``by_batch`` a dict by batch id.
        """
        bill: JsonObject = self._ask("GET", "bill")
        for part in (bill["total"], bill["messages"], *bill["by_model"], *bill["by_batch"].values()):
            part["cost_usd"] = Decimal(part["cost_usd"])
        return bill

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._ask("POST", "clock", {"advance_seconds": seconds})

    def set_time(self, time: str | float) -> None:
        """Set the time, as RFC 3339 text or epoch seconds."""
        self._ask("POST", "clock", {"time": time})

    @property
    def time(self) -> str:
        """Return the time there."""
        return str(self._ask("GET", "clock")["time"])

    def fail(
        self, operation: str, *, times: int | None = 1, with_: str = "status", **details: object
    ) -> None:
        """
        Order a fault.

        :param operation: Which calls it strikes; ``batch`` or ``lines`` for the next batches created.
        :param times: How often; ``None`` for always.
        :param with_: What happens; see :class:`~.faults.Fault`.
        :param details: The other fields of :class:`~.faults.Fault`.
        """
        self._ask("POST", "faults", {"operation": operation, "times": times, "with": with_, **details})

    def fail_once(self, operation: str, *, with_: str = "status", **details: object) -> None:
        """Order a fault that strikes one time."""
        self.fail(operation, times=1, with_=with_, **details)

    @property
    def faults_left(self) -> int:
        """Return how many ordered strikes have not happened."""
        return int(self._ask("GET", "faults")["left"])

    @property
    def faults_used(self) -> int:
        """Return how many ordered strikes have happened."""
        return int(self._ask("GET", "faults")["used"])

    def clear_faults(self) -> None:
        """Forget all faults and their counts."""
        self._ask("DELETE", "faults")

    def settings(self, **changes: object) -> JsonObject:
        """Change settings, if any are given, and return all; see :class:`~.settings.Settings`."""
        settings: JsonObject = self._ask("PATCH", "settings", changes)
        return settings

    @property
    def connection_json(self) -> str:
        """Return the emulator as an Airflow connection, for ``AIRFLOW_CONN_ANTHROPIC_DEFAULT``."""
        return json.dumps({"conn_type": "anthropic", "password": "sk-ant-emulator", "host": self.url})

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=_TIMEOUT_SECONDS)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/_emulator/{path}", content, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = json.load(response)
        finally:
            connection.close()
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise ValueError(answer["error"]["message"])
        return answer
