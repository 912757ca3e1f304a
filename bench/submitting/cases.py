"""
The cases that are measured, each alone in a process that begins as an idle task process does.

Run as ``python -m bench.submitting.cases CASE ARGUMENTS``; prints one line of JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import airflow.sdk
import anthropic
import httpx2
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.submitting.rows import SCHEMA, read_rows
from bench.submitting.tables import SQL

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from airflow_provider_claude_batch.submission.spec import SubmissionSpec

#: What an idle task process has imported.
_IDLE = (airflow.sdk, airflow.sdk.BaseHook, anthropic.Anthropic, pd, pq)

_NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
_IDENTITY = "0123456789abcdef"
_LABEL = {
    "type": "object",
    "properties": {"topic": {"enum": ["fruit", "metal"]}},
    "required": ["topic"],
    "additionalProperties": False,
}
_MODEL = "claude-haiku-5-5"
_MAX_TOKENS = 100
_READ_BYTES = 1 << 20
_BATCH = {
    "id": "msgbatch_0",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {"processing": 1, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
    "created_at": "2026-11-22T00:00:00Z",
    "expires_at": "2026-11-23T00:00:00Z",
    "ended_at": None,
    "archived_at": None,
    "cancel_initiated_at": None,
    "results_url": None,
}


class Meter:
    """Seconds, those of all cores together, and megabytes above those of the idle process."""

    def __init__(self) -> None:
        self._idle = _status("VmRSS")
        self.measured: dict[str, float] = {"idle_megabytes": self._idle}

    def measure(self, work: Callable[[], int]) -> dict[str, float]:
        """
        Measure ``work``.

        :param work: Returns the bytes that it made.
        """
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        started, started_cpu = time.perf_counter(), time.process_time()
        made = work()
        self.measured["seconds"] = time.perf_counter() - started
        self.measured["cpu_seconds"] = time.process_time() - started_cpu
        self.measured["megabytes"] = made / 1e6
        self.measured["extra_megabytes"] = _status("VmHWM") - self._idle
        return self.measured


def _status(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1000 if found else float("nan")


class _Swallow(httpx2.BaseTransport):
    """Takes the body, answers as the API would, and sends nothing."""

    body_bytes = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Count the bytes."""
        self.body_bytes += sum(map(len, request.stream))  # type: ignore[arg-type]
        return httpx2.Response(200, json=_BATCH, request=request)


def sdk(meter: Meter, rows: str) -> dict[str, float]:
    """Measure the SDK's create, from Arrow rows to its transport, all rows in one batch."""
    swallow = _Swallow()
    client = anthropic.Anthropic(api_key="sk-ant-bench", http_client=httpx2.Client(transport=swallow))

    client.messages.batches.create(requests=[])  # what happens at the first call only
    swallow.body_bytes = 0

    def work() -> int:
        requests = [_request(row) for batch in read_rows(Path(rows)) for row in batch.to_pylist()]
        client.messages.batches.create(requests=requests)  # type: ignore[arg-type]
        return swallow.body_bytes

    return meter.measure(work)


def orjson_dumps(meter: Meter, rows: str) -> dict[str, float]:
    """Measure the practical limit: one ``orjson.dumps`` of a whole body whose dicts are there already."""
    import orjson

    body = {"requests": [_request(row) for batch in read_rows(Path(rows)) for row in batch.to_pylist()]}
    return meter.measure(lambda: len(orjson.dumps(body)))


def _request(row: dict[str, object]) -> dict[str, object]:
    return {
        "custom_id": f"{_IDENTITY}-{row['id']}",
        "params": {
            "model": _MODEL,
            "max_tokens": _MAX_TOKENS,
            "messages": [{"role": "user", "content": f"What is this: {row['body']}"}],
            "output_config": {"format": {"type": "json_schema", "schema": _LABEL}},
        },
    }


def encode(meter: Meter, rows: str) -> dict[str, float]:
    """Measure rows to the bytes of requests."""
    from airflow_provider_claude_batch.core.request_template import compile_request
    from airflow_provider_claude_batch.core.rows_to_requests import RowsToRequests, rows_to_requests

    params = _spec().params or {}
    how = RowsToRequests(
        identity=_IDENTITY,
        template=compile_request(params, columns=SCHEMA.names),
        key=("id",),
        passthrough=(),
        digest_context=b"",
    )

    def work() -> int:
        first_row = made = 0
        for batch in read_rows(Path(rows)):
            made += sum(map(len, rows_to_requests(batch, how, first_row=first_row).requests))
            first_row += batch.num_rows
        return made

    return meter.measure(work)


def shards_of_file(meter: Meter, rows: str, folder: str) -> dict[str, float]:
    """Measure Arrow rows to shards on disk."""

    def open_rows() -> AbstractContextManager[pa.RecordBatchReader]:
        return nullcontext(pa.RecordBatchReader.from_batches(SCHEMA, read_rows(Path(rows))))

    return _shards(meter, open_rows, folder)


def shards_of_query(meter: Meter, sql_conn_id: str, folder: str) -> dict[str, float]:
    """Measure a query to shards on disk."""
    from airflow_provider_claude_batch.sources.sql import open_query

    return _shards(meter, lambda: open_query(SQL, sql_conn_id=sql_conn_id), folder)


def _shards(
    meter: Meter, open_rows: Callable[[], AbstractContextManager[pa.RecordBatchReader]], folder: str
) -> dict[str, float]:
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.snapshot import take_snapshot

    manifest = ManifestFolder.at(folder)
    spec = _spec()
    sizes: list[int] = []

    def work() -> int:
        with open_rows() as reader:
            take_snapshot(
                manifest,
                reader,
                spec,
                identity=_IDENTITY,
                try_number=1,
                max_tries=1,
                now=_NOW,
                on_shard=lambda shard: sizes.append(shard.body_bytes),
            )
        return sum(sizes)

    return meter.measure(work)


def _spec() -> SubmissionSpec:
    from airflow_provider_claude_batch.submission.spec import make_spec

    return make_spec(
        claude_conn_id="anthropic_default",
        source=[SQL],
        key="id",
        model=_MODEL,
        max_tokens=_MAX_TOKENS,
        prompt="What is this: {body}",
        output_schema=_LABEL,
    )


def decompress(meter: Meter, folder: str, body: str) -> dict[str, float]:
    """
    Measure the floor of an upload: the shard's file read and decompressed, and nothing else.

    :param body: Is written too, and not measured: the body of the create, ready to be sent.
    """
    file = next(Path(folder).glob("r00/requests-*.jsonl.zst"))

    def work() -> int:
        with pa.CompressedInputStream(pa.OSFile(str(file), "rb"), "zstd") as stream:
            return sum(map(len, iter(lambda: stream.read(_READ_BYTES), b"")))

    measured = meter.measure(work)
    with pa.CompressedInputStream(pa.OSFile(str(file), "rb"), "zstd") as stream, Path(body).open("wb") as out:
        out.write(b'{"requests":[' + stream.read()[:-1].replace(b"\n", b",") + b"]}")
    return measured


def send(meter: Meter, folder: str) -> dict[str, float]:
    """Measure the create of the one shard in a folder."""
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
    from airflow_provider_claude_batch.submission.send import SendRules, send_shards

    manifest = ManifestFolder.at(folder)
    plan, record = require_plan(manifest)
    rules = SendRules(grace=dt.timedelta(minutes=15), max_queued_requests=200_000)
    hook = ClaudeBatchHook()

    def work() -> int:
        sent = send_shards(
            manifest, plan, record, hook, rules=rules, try_number=1, clock=lambda: dt.datetime.now(dt.UTC)
        )
        return sum(one.shard.body_bytes for one in sent)

    with hook.client:
        return meter.measure(work)


_CASES = {
    case.__name__: case
    for case in (sdk, orjson_dumps, encode, shards_of_file, shards_of_query, decompress, send)
}


def main() -> None:
    """Run one case."""
    name, *arguments = sys.argv[1:]
    print(json.dumps(_CASES[name](Meter(), *arguments)))


if __name__ == "__main__":
    main()
