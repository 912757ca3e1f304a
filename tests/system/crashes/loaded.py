"""What a load has published, and what the emulator says that it answered and billed."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_claude_batch.emulator import Emulator
from tests.system.crashes.crash_lab import CrashRun

#: Columns whose sums are on the emulator's bill, and what it calls them.
BILLED = {
    "claude_input_tokens": "input_tokens",
    "claude_output_tokens": "output_tokens",
    "claude_cache_write_5m_tokens": "cache_creation_5m_input_tokens",
    "claude_cache_write_1h_tokens": "cache_creation_1h_input_tokens",
    "claude_cache_read_tokens": "cache_read_input_tokens",
    "claude_thinking_tokens": "thinking_tokens",
    "claude_cost_usd": "cost_usd",
}

#: What two runs with as many rows and the same faults must have in common: a table without its texts.
SHAPE = ("claude_rounds", "claude_result_type", "claude_outcome", "claude_stop_reason", *BILLED)

Shape = Counter[tuple[object, ...]]

_TEXT = re.compile(r"<[^<>]*>")


def read_dataset(folder: Path) -> pa.Table:
    """Return the dataset of a destination, by its manifest where there is one."""
    manifest = folder / "_manifest.json"
    names = ["data.parquet"]
    if manifest.exists():
        names = [file["path"] for file in json.loads(manifest.read_text())["files"]]
    return pa.concat_tables(pq.ParquetFile(folder / name).read() for name in names)


def published(run: CrashRun) -> pa.Table:
    """Return what a run has published in its own destination."""
    return read_dataset(run.folder / "out")


def shape(table: pa.Table) -> Shape:
    """Return how often which row is there, its texts apart."""
    return Counter(zip(*(table[name].to_pylist() for name in SHAPE), strict=True))


def sums(table: pa.Table) -> dict[str, int | Decimal]:
    """Return the tokens and the dollars of all rows, in the bill's words."""
    return {billed: sum(table[name].to_pylist()) for name, billed in BILLED.items()}


def billed(emulator: Emulator, *, unseen: int = 0) -> dict[str, Decimal]:
    """
    Return the tokens and the dollars of all that an emulator has answered.

    :param unseen: Answers that it billed and did not show, of requests that all cost the same.
    """
    total = emulator.bill["total"]
    share = Decimal(total["requests"] - unseen) / total["requests"] if unseen else 1
    return {name: total[name] * share for name in BILLED.values()}


def histories(emulator: Emulator) -> dict[str, list[str]]:
    """
    Return what became of the request of each text, batch after batch.

    A result is called by its error's type, else by its stop reason where that is not the usual one, else by
    its type; a request without a line ``missing``, and an answer beside the schema ``invalid_output``.
    """
    found: dict[str, list[str]] = {}
    for batch in reversed(emulator.batches):
        folder = emulator.state / "batches" / batch["id"]
        results = {line["custom_id"]: _kind(line["result"]) for line in _lines(_results(folder))}
        for request in _lines(folder / "requests.jsonl"):
            text = _TEXT.search(json.dumps(request["params"]["messages"]))[0]
            found.setdefault(text, []).append(results.get(request["custom_id"], "missing"))
    return found


def load_problems(run: CrashRun, emulator: Emulator, table: pa.Table, *, unseen: int = 0) -> list[str]:
    """
    Return what is wrong with a run whose load was to succeed, in sentences.

    :param emulator: What it alone has sent to.
    :param table: What it has published.
    :param unseen: Answers that are billed and that nobody is shown.
    """
    if run.state != "success":
        return [f"the run is {run.state}: {run.task_states}\n{run.lab.log_tails(run)}"]
    rows = run.lab.rows(run.label)
    found = [] if all(run.reached()) else [f"points reached: {run.reached()} of {run.points}"]
    if sorted(table["id"].to_pylist()) != sorted(rows):
        found.append(f"rows: {table['id'].to_pylist()}")
    rounds = dict(zip(table["id"].to_pylist(), table["claude_rounds"].to_pylist(), strict=True))
    if run.accepted() != Counter({rows[key]: count for key, count in rounds.items()}):
        found.append(f"requests accepted: {run.accepted()}, in rounds: {rounds}")
    if again := {text: came for text, came in histories(emulator).items() if "succeeded" in came[:-1]}:
        found.append(f"answered, and asked again: {again}")
    if sums(table) != billed(emulator, unseen=unseen):
        found.append(f"published: {sums(table)}, billed: {billed(emulator, unseen=unseen)}")
    return found


def _results(folder: Path) -> Path:
    results = folder / "results.jsonl"
    return results if results.exists() else folder / "answers.jsonl"


def _lines(path: Path) -> Iterator[dict[str, dict[str, object]]]:
    with path.open() as file:
        yield from map(json.loads, file)


def _kind(result: dict[str, dict[str, object]]) -> str:
    if result["type"] == "errored":
        return result["error"]["error"]["type"]
    if result["type"] != "succeeded":
        return result["type"]
    if result["message"]["stop_reason"] != "end_turn":
        return result["message"]["stop_reason"]
    is_beside_the_schema = any("not_in_the_schema" in part["text"] for part in result["message"]["content"])
    return "invalid_output" if is_beside_the_schema else "succeeded"
