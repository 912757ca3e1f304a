"""
The cases that are measured, each alone in a process that begins as an idle task process does.

Run as ``python -m bench.loading.cases CASE ARGUMENTS``; prints one line of JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from bench.loading.lines import IDENTITY, MODEL, SCHEMA, batch_id, round_of
from bench.submitting.cases import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_claude_batch.core.manifest import Round, ShardRecord
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

_NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
_ROWS_AT_ONCE = 8192


def _hook() -> ClaudeBatchHook:
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook

    hook = ClaudeBatchHook()
    hook.retrieve_batch(batch_id(0))  # what happens at the first call only
    return hook


def read_bytes(meter: Meter, lines: str) -> dict[str, float]:
    """Measure the floor: the bytes of all results, read and dropped."""
    hook = _hook()

    def work() -> int:
        size = 0
        for shard in round_of(int(lines)).shards:
            with hook.open_results(batch_id(shard.index)) as chunks:
                size += sum(map(len, chunks))
        return size

    return meter.measure(work)


def load(meter: Meter, lines: str, folder: str, destination: str) -> dict[str, float]:
    """Measure ours: every shard from the stream to the manifest folder, then all rows to the destination."""
    return _load(meter, lines, folder, destination, keep_content=False)


def load_content(meter: Meter, lines: str, folder: str, destination: str) -> dict[str, float]:
    """Measure ours with the raw content blocks kept."""
    return _load(meter, lines, folder, destination, keep_content=True)


def _load(meter: Meter, lines: str, folder: str, destination: str, *, keep_content: bool) -> dict[str, float]:
    from airflow_provider_claude_batch.core.manifest import BatchRecord
    from airflow_provider_claude_batch.submission.land import land_shard
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.pricing import price_list

    manifest, hook, record = ManifestFolder.at(folder), _hook(), round_of(int(lines))
    prices = price_list(_NOW)
    prices.of(MODEL)  # imports the list
    for name in ("core.results_to_arrow", "submission.final_rows", "submission.publish"):
        import_module(f"airflow_provider_claude_batch.{name}")  # as the rivals' cases have theirs

    def work() -> int:
        for shard in record.shards:
            batch = BatchRecord(batch_id=batch_id(shard.index), known_by="answered", created_at=_NOW)
            landing = land_shard(
                manifest,
                record,
                shard,
                batch,
                hook,
                json_schema=SCHEMA,
                price_list=prices,
                keep_content=keep_content,
            )
            landed = replace(batch, loaded_at=_NOW, results_sha256=landing.sha256)
            manifest.write_batch(record.index, shard.index, landed)
        _publish(manifest, record, destination, keep_content=keep_content)
        return 0

    return meter.measure(work)


def _publish(manifest: ManifestFolder, record: Round, destination: str, *, keep_content: bool) -> None:
    """Publish as the end of a load does, with a gate that lets everything pass."""
    from airflow_provider_claude_batch.submission.dataset_how import PublishHow
    from airflow_provider_claude_batch.submission.final_rows import final_file, final_rows, final_schema
    from airflow_provider_claude_batch.submission.publish import Destination, publish_rows

    schema = final_schema(manifest, record, SCHEMA, keep_content=keep_content)
    row_count = sum(shard.requests for shard in record.shards)
    publish_rows(
        final_rows(manifest, [record]),
        schema,
        Destination.at(destination),
        row_count=row_count,
        ready=final_file(manifest, [record], schema, row_count=row_count),
        how=PublishHow(key=("id",)),
        identity=IDENTITY,
        gate=lambda *_: None,
        now=_NOW,
    )


def sdk(meter: Meter, lines: str, folder: str, parquet: str) -> dict[str, float]:
    """Measure the SDK's own objects to the same Parquet, record batch by record batch, without costs."""
    from airflow_provider_claude_batch.core.results_to_arrow import published_schema
    from airflow_provider_claude_batch.submission import names

    hook, record = _hook(), round_of(int(lines))

    def work() -> int:
        for shard in record.shards:
            keys = pq.read_table(Path(folder) / names.keys_path(0, shard.index, IDENTITY))
            schema = published_schema(keys.schema, SCHEMA)
            with pq.ParquetWriter(parquet, schema, compression="zstd") as writer:
                for rows in _sdk_rows(hook, shard, keys):
                    writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
        return 0

    return meter.measure(work)


def _sdk_rows(hook: ClaudeBatchHook, shard: ShardRecord, keys: pa.Table) -> Iterator[list[dict[str, object]]]:
    by_id = {key["claude_custom_id"]: key for key in keys.to_pylist()}
    rows: list[dict[str, object]] = []
    for line in hook.client.messages.batches.results(batch_id(shard.index)):
        row = {**by_id[line.custom_id], "claude_batch_id": batch_id(shard.index), "claude_rounds": 1}
        rows.append({**row, **_sdk_row(line.result)})
        if len(rows) == _ROWS_AT_ONCE:
            yield rows
            rows = []
    yield rows


def _sdk_row(result: object) -> dict[str, object]:
    from anthropic.types.messages import MessageBatchErroredResult, MessageBatchSucceededResult

    kind = getattr(result, "type", None)
    row: dict[str, object] = {"claude_result_type": kind, "claude_outcome": kind}
    row |= {f"claude_{name}_tokens": 0 for name in ("input", "output", "cache_read", "thinking")}
    row |= {"claude_cache_write_5m_tokens": 0, "claude_cache_write_1h_tokens": 0}
    if isinstance(result, MessageBatchErroredResult):
        error = result.error
        row |= {"claude_error_type": error.error.type, "claude_error_message": error.error.message}
        return {**row, "claude_request_id": error.request_id}
    if not isinstance(result, MessageBatchSucceededResult):
        return row
    message = result.message
    text = "".join(block.text for block in message.content if block.type == "text")
    usage = message.usage
    written, details = usage.cache_creation, usage.output_tokens_details
    row |= {
        "claude_text": text,
        "claude_stop_reason": message.stop_reason,
        "claude_model": message.model,
        "claude_input_tokens": usage.input_tokens,
        "claude_output_tokens": usage.output_tokens,
        "claude_cache_write_5m_tokens": written.ephemeral_5m_input_tokens if written else 0,
        "claude_cache_write_1h_tokens": written.ephemeral_1h_input_tokens if written else 0,
        "claude_cache_read_tokens": usage.cache_read_input_tokens,
        "claude_thinking_tokens": details.thinking_tokens if details else 0,
        "claude_service_tier": usage.service_tier,
    }
    if message.stop_reason == "max_tokens":
        return {**row, "claude_outcome": "truncated"}
    return {**row, "claude_outcome": "ok", **json.loads(text)}


def duckdb(meter: Meter, results: str, parquet: str) -> dict[str, float]:
    """Measure DuckDB's automatic JSON reader, from a local file to Parquet: no stream, types or keys."""
    import duckdb as database

    def work() -> int:
        with database.connect() as connection:
            connection.execute(
                f"copy (select * from read_json_auto('{results}')) to '{parquet}' "  # noqa: S608
                "(format parquet, compression zstd)"
            )
        return 0

    return meter.measure(work)


def llm_batch(meter: Meter, lines: str, folder: str, url: str) -> dict[str, float]:
    """
    Measure the landing of ``LLMBatchOperator``, which writes JSONL.

    Its typed answers come from a forced tool, which these lines do not have: it is spared their validation.
    """
    from airflow.providers.common.ai.batch import results
    from airflow.providers.common.ai.batch.anthropic import AnthropicBatchAdapter
    from airflow.providers.common.ai.batch.output_schema import build_output_spec
    from airflow.sdk import ObjectStoragePath

    adapter = AnthropicBatchAdapter(api_key="sk-ant-bench", base_url=url)

    def work() -> int:
        for shard in round_of(int(lines)).shards:
            results.stream_results_to_jsonl(
                adapter=adapter,
                batch_id=batch_id(shard.index),
                output_spec=build_output_spec(str),
                request_count=shard.requests,
                custom_id_prefix=IDENTITY,
                destination=ObjectStoragePath(f"file://{folder}/{shard.index}.jsonl"),
            )
        return 0

    return meter.measure(work)


_CASES = {case.__name__: case for case in (read_bytes, load, load_content, sdk, duckdb, llm_batch)}


def main() -> None:
    """Run one case."""
    name, *arguments = sys.argv[1:]
    print(json.dumps(_CASES[name](Meter(), *arguments)))


if __name__ == "__main__":
    main()
