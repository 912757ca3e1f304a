"""What is loaded: result lines as the API writes them, in any order, and the keys of their shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_claude_batch.core.manifest import Round, ShardRecord
from airflow_provider_claude_batch.core.output_schema import to_json_schema
from airflow_provider_claude_batch.submission import names
from bench.submitting.rows import read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

#: Requests of one shard, as many as a batch may have.
SHARD_REQUESTS = 100_000

IDENTITY = "0123456789abcdef"
MODEL = "claude-haiku-5-5"

LABELS = ("good", "bad", "unclear")
SCHEMA = to_json_schema(
    {
        "type": "object",
        "properties": {
            "label": {"enum": list(LABELS)},
            "score": {"type": "number"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "place": {
                "type": "object",
                "properties": {"line": {"type": "integer"}, "page": {"type": "integer"}},
            },
            "summary": {"type": "string"},
        },
    }
)

#: Of a line of a succeeded request, 1,200 bytes on average.
_SUMMARY_BYTES = 330
_THINKING_BYTES = 300

#: Shares of the lines: 6 % did not succeed, 2 % were cut, and three in ten begin with thinking.
_ERRORED, _EXPIRED, _CANCELED = 0.03, 0.02, 0.01
_CUT = 0.02
_THOUGHT = 0.3

_encode = msgspec.json.Encoder().encode


def batch_id(shard: int) -> str:
    """Return the id of the batch that a shard became."""
    return f"msgbatch_{shard:02}"


def shard_requests(lines: int, shard: int) -> int:
    """Return how many of all lines are a shard's."""
    return min(SHARD_REQUESTS, lines - shard * SHARD_REQUESTS)


def round_of(lines: int) -> Round:
    """Return the record of the round, whose shards have the lines."""
    shards = [
        ShardRecord(index=shard, requests=shard_requests(lines, shard), body_bytes=0, sha256="")
        for shard in range(-(-lines // SHARD_REQUESTS))
    ]
    return Round(index=0, identity=IDENTITY, shards=shards)


def write_keys(folder: Path, *, lines: int) -> None:
    """Write the keys of every shard into a manifest folder."""
    for shard in round_of(lines).shards:
        first = shard.index * SHARD_REQUESTS
        ids = np.arange(first, first + shard.requests)
        keys = pa.table(
            {
                "claude_custom_id": [f"{IDENTITY}-{number}" for number in ids],
                "claude_sample": pa.array(np.zeros(len(ids), np.int32)),
                "id": ids,
                "lang": np.where(ids % 2, "de", "en"),
                "claude_request_digest": [f"{number:032x}" for number in ids],
                "claude_rejected": pa.nulls(len(ids), pa.string()),
            }
        )
        path = folder / names.keys_path(0, shard.index, IDENTITY)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(keys, path)


def write_results(folder: Path, *, lines: int) -> None:
    """Write ``msgbatch_NN.jsonl`` for every shard; the same in every run."""
    texts = folder / "texts.arrow"
    write_rows(texts, rows=min(lines, SHARD_REQUESTS), text_bytes=_SUMMARY_BYTES)
    summaries = [text for rows in read_rows(texts) for text in rows.column("body").to_pylist()]
    texts.unlink()
    for shard in round_of(lines).shards:
        random = np.random.default_rng(shard.index)
        order = random.permutation(shard.requests)
        chances, scores = random.random((2, shard.requests)).tolist()
        with (folder / f"{batch_id(shard.index)}.jsonl").open("wb") as file:
            for place, number in enumerate(order.tolist()):
                ordinal = shard.index * SHARD_REQUESTS + number
                result = _result(ordinal, chances[place], scores[place], summaries[number])
                file.write(_encode({"custom_id": f"{IDENTITY}-{ordinal}", "result": result}) + b"\n")


def _result(ordinal: int, chance: float, score: float, summary: str) -> dict[str, object]:
    if chance < _ERRORED:
        error = {"type": "overloaded_error", "message": "Overloaded"}
        response = {"type": "error", "error": error, "request_id": f"req_{ordinal:024}"}
        return {"type": "errored", "error": response}
    if chance < _ERRORED + _EXPIRED:
        return {"type": "expired"}
    if chance < _ERRORED + _EXPIRED + _CANCELED:
        return {"type": "canceled"}
    answer = _encode(
        {
            "label": LABELS[ordinal % len(LABELS)],
            "score": round(score, 3),
            "tags": summary.split(" ", 3)[:3],
            "place": {"line": ordinal % 97, "page": ordinal},
            "summary": summary,
        }
    ).decode()
    is_cut = score < _CUT
    content: list[dict[str, object]] = [
        {"type": "text", "text": answer[: len(answer) // 2] if is_cut else answer, "citations": None}
    ]
    if score > 1 - _THOUGHT:
        thinking = {
            "type": "thinking",
            "thinking": summary[:_THINKING_BYTES],
            "signature": f"{ordinal:0300x}",
        }
        content.insert(0, thinking)
    return {
        "type": "succeeded",
        "message": _message(ordinal, content, "max_tokens" if is_cut else "end_turn"),
    }


def _message(ordinal: int, content: list[dict[str, object]], stop_reason: str) -> dict[str, object]:
    return {
        "model": MODEL,
        "id": f"msg_{ordinal:024}",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "diagnostics": None,
        "usage": {
            "input_tokens": 300 + ordinal % 200,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 2048,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 100 + ordinal % 300,
            "output_tokens_details": {"thinking_tokens": ordinal % 40},
            "server_tool_use": None,
            "service_tier": "batch",
            "inference_geo": "global",
            "speed": None,
        },
    }
