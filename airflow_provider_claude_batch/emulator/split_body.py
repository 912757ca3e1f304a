"""
Cut the body of a create into its requests while it arrives.

The usual body, compact JSON whose requests begin with ``custom_id``, is cut at one byte string that cannot
occur inside a JSON string (its first quote would have to be escaped), and every piece is parsed as one
request, so the cut is exact and only one piece is in memory. From the first byte that does not fit, the rest
goes to a file and is parsed as a whole through a memory map.
"""

from __future__ import annotations

import mmap
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from airflow_provider_claude_batch.emulator.errors import ApiError, invalid_request

_HEAD = b'{"requests":['
_FIRST = b'{"custom_id":'
_BETWEEN = b"}," + _FIRST

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of ``requests``; its params stay as they were sent."""

    custom_id: str
    params: msgspec.Raw


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    requests: list[msgspec.Raw]


decode_request = msgspec.json.Decoder(BatchRequest).decode
_decode_body = msgspec.json.Decoder(_Body).decode


@dataclass(slots=True)
class BodySplitter:
    """
    Takes a body in pieces and writes its requests to ``folder/requests.jsonl``, one a line.

    :param folder: An existing folder for that file and for the part of the body that has to be parsed whole.
    :param max_requests: Requests allowed.
    """

    folder: Path
    max_requests: int
    request_count: int = 0
    error: ApiError | None = None
    _files: ExitStack = field(default_factory=ExitStack)
    _lines: BinaryIO = field(init=False)
    _rest: BinaryIO | None = None
    _pending: bytearray = field(default_factory=bytearray)
    _searched: int = 0
    _has_begun: bool = False
    _custom_ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lines = self._files.enter_context((self.folder / "requests.jsonl").open("wb"))

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self._rest is not None:
            self._rest.write(data)
            return
        self._pending += data
        if not self._has_begun:
            self._begin()
        elif self._pending.find(_BETWEEN, self._searched) >= 0:
            self._cut()
        else:
            self._searched = max(0, len(self._pending) - len(_BETWEEN))

    def close(self) -> None:
        """
        Take the end of the body.

        :raises ApiError: The body is not what a create takes; the first fault in the order of the requests.
        """
        with self._files:
            if self._rest is not None:
                self._parse_rest(self._rest)
            else:
                self._parse_whole(bytes(_HEAD + _FIRST + self._pending if self._has_begun else self._pending))
        if self.error is None and self.request_count == 0:
            self.error = invalid_request("requests: List should have at least 1 item after validation, not 0")
        if self.request_count > self.max_requests:
            self.error = invalid_request(
                f"requests: List should have at most {self.max_requests} items after validation, "
                f"not {self.request_count}"
            )
        if self.error is not None:
            raise self.error

    def discard(self) -> None:
        """Let go of the files of a body that did not arrive whole."""
        self._files.close()

    def _begin(self) -> None:
        opening = _HEAD + _FIRST
        if len(self._pending) < len(opening):
            return
        if not self._pending.startswith(opening):
            self._keep_rest(bytes(self._pending))
            return
        del self._pending[: len(opening)]
        self._has_begun = True
        self._cut()

    def _cut(self) -> None:
        pieces = self._pending.split(_BETWEEN)
        for index, piece in enumerate(pieces[:-1]):
            if not self._take(_FIRST + piece + b"}"):
                self._keep_rest(_HEAD + _FIRST + _BETWEEN.join(pieces[index:]))
                return
        self._pending = pieces[-1]
        self._searched = max(0, len(self._pending) - len(_BETWEEN))

    def _take(self, line: bytes) -> bool:
        """Write one request, or note what is wrong with it; false if ``line`` is not one whole JSON value."""
        try:
            request = decode_request(line)
        except msgspec.ValidationError:
            try:
                msgspec.json.decode(line)
            except msgspec.DecodeError:
                return False
            self._note(_shape_fault(line))
        except msgspec.DecodeError:
            return False
        else:
            self._note(self._fault(request))
            # A line break in JSON is white space: inside a string it would be escaped.
            self._lines.write(line.replace(b"\n", b" ") + b"\n")
        self.request_count += 1
        return True

    def _fault(self, request: BatchRequest) -> str | None:
        if not _CUSTOM_ID.fullmatch(request.custom_id):
            return "custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"
        if request.custom_id in self._custom_ids:
            return "custom_id: custom_id must be unique"
        if not bytes(request.params).lstrip().startswith(b"{"):
            return "params: Input should be a valid dictionary"
        if self.request_count < self.max_requests:
            self._custom_ids.add(request.custom_id)
        return None

    def _note(self, fault: str | None) -> None:
        if fault is not None and self.error is None:
            self.error = invalid_request(f"requests.{self.request_count}.{fault}")

    def _keep_rest(self, data: bytes) -> None:
        self._rest = self._files.enter_context((self.folder / "rest.json").open("w+b"))
        self._rest.write(data)
        self._pending = bytearray()

    def _parse_rest(self, rest: BinaryIO) -> None:
        rest.flush()
        # Not closed by hand: the parsed requests point into the map, which goes when they do.
        self._parse_whole(mmap.mmap(rest.fileno(), 0, access=mmap.ACCESS_READ))
        Path(rest.name).unlink()

    def _parse_whole(self, body: bytes | mmap.mmap) -> None:
        try:
            requests = _decode_body(body).requests
        except msgspec.ValidationError:
            raise invalid_request(_body_fault(body)) from None
        except msgspec.DecodeError as error:
            raise invalid_request(f"The request body is not valid JSON: {error}") from None
        for raw in requests:
            self._take(bytes(raw))


def _body_fault(body: bytes | mmap.mmap) -> str:
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        return f"The request body is not valid JSON: {error}"
    if not isinstance(value, dict):
        return "Input should be a valid dictionary"
    if "requests" not in value:
        return "requests: Field required"
    if not isinstance(value["requests"], list):
        return "requests: Input should be a valid list"
    extra = next(name for name in value if name != "requests")
    return f"{extra}: Extra inputs are not permitted"


def _shape_fault(line: bytes) -> str:
    value = msgspec.json.decode(line)
    if not isinstance(value, dict):
        return "custom_id: Field required"
    for name in ("custom_id", "params"):
        if name not in value:
            return f"{name}: Field required"
    if not isinstance(value["custom_id"], str):
        return "custom_id: Input should be a valid string"
    extra = next(name for name in value if name not in ("custom_id", "params"))
    return f"{extra}: Extra inputs are not permitted"
