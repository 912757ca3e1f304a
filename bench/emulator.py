"""
What a full batch costs the emulator: time to accept it, time to serve its results, memory.

Each time is given as a ratio to the floor on the same machine: one msgspec decode of the same body, and one
read of the same file. Run as ``python bench/emulator.py``, with ``--requests`` for less.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from airflow_provider_claude_batch.emulator import EmulatorProcess

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADERS = {
    "authorization": "Bearer sk-ant-bench",
    "anthropic-version": "2026-10-21",
    "content-type": "application/json",
}
_SENTENCE = (
    "The quick brown fox reviewed a small database and found it fast, sober and pleasant to work with. "
)
_BYTES_AROUND_TEXT = 360
_CHUNK_BYTES = 1 << 20
_SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["good", "bad", "unclear"]}},
    "required": ["label"],
    "additionalProperties": False,
}


def main() -> None:
    """Run all rounds and print the medians."""
    options = _options()
    with (
        tempfile.TemporaryDirectory() as name,
        EmulatorProcess(
            Path(name) / "state", arguments=("--seconds-per-batch=0", "--tier=scale")
        ) as emulator,
    ):
        body = Path(name) / "body.json"
        _write_body(body, options.requests, options.bytes)
        megabytes = body.stat().st_size / 1e6
        print(f"{options.requests:,} requests, {megabytes:,.1f} MB, median of {options.rounds} rounds")
        rounds = [_round(emulator, body) for _ in range(options.rounds)]
        peak = _peak_megabytes(emulator.pid)
    for measure in rounds[0]:
        print(f"{measure:<48} {statistics.median(one[measure] for one in rounds):8.2f}")
    print(f"{'peak memory of the server, MB':<48} {peak:8.0f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the emulator with one large batch.")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=2_500, help="size of one request")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _write_body(path: Path, requests: int, request_bytes: int) -> None:
    text = (_SENTENCE * (request_bytes // len(_SENTENCE) + 1))[: request_bytes - _BYTES_AROUND_TEXT]
    with path.open("wb") as body:
        body.write(b'{"requests":[')
        for number in range(requests):
            params = {
                "model": "claude-haiku-5-5",
                "max_tokens": 256,
                "messages": [{"role": "user", "content": f"{number}. {text}"}],
                "output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}},
            }
            body.write(b"," if number else b"")
            body.write(msgspec.json.encode({"custom_id": f"row-{number:09}", "params": params}))
        body.write(b"]}")


def _round(emulator: EmulatorProcess, body: Path) -> dict[str, float]:
    decode_seconds = _timed(lambda: msgspec.json.decode(body.read_bytes()))
    started = time.perf_counter()
    batch = json.loads(_call(emulator, "POST", "", body))
    accept_seconds = time.perf_counter() - started
    while _call_json(emulator, batch["id"])["processing_status"] != "ended":
        time.sleep(0.2)
    answer_seconds = time.perf_counter() - started - accept_seconds
    results = emulator.state / "batches" / batch["id"] / "answers.jsonl"
    read_seconds = _timed(lambda: _read(results))
    serve_seconds = _timed(lambda: _call(emulator, "GET", f"/{batch['id']}/results", keep=False))
    _call(emulator, "DELETE", f"/{batch['id']}")
    return {
        "one msgspec decode of the body, s": decode_seconds,
        "accept, s": accept_seconds,
        "accept / decode": accept_seconds / decode_seconds,
        "answer all requests in the background, s": answer_seconds,
        "read the results file, s": read_seconds,
        "serve the results, s": serve_seconds,
        "serve / read": serve_seconds / read_seconds,
    }


def _call(
    emulator: EmulatorProcess, method: str, path: str, body: Path | None = None, *, keep: bool = True
) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port, blocksize=_CHUNK_BYTES)
    headers = dict(_HEADERS)
    try:
        if body is None:
            connection.request(method, f"/v1/messages/batches{path}", headers=headers)
        else:
            headers["content-length"] = str(body.stat().st_size)
            with body.open("rb") as content:
                connection.request(method, f"/v1/messages/batches{path}", content, headers)
        response = connection.getresponse()
        if keep:
            return response.read()
        while response.read(_CHUNK_BYTES):
            pass
        return b""
    finally:
        connection.close()


def _call_json(emulator: EmulatorProcess, batch_id: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(_call(emulator, "GET", f"/{batch_id}"))
    return answer


def _read(path: Path) -> None:
    with path.open("rb") as file:
        _drain(file)


def _drain(file: BinaryIO) -> None:
    while file.read(_CHUNK_BYTES):
        pass


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _peak_megabytes(pid: int) -> float:
    """Return the most memory that the process ever held, as Linux tells it."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else float("nan")


if __name__ == "__main__":
    main()
