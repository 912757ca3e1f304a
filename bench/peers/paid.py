"""What an emulator accepted and billed, by row of the warehouse."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_claude_batch.emulator.results import results_path

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_claude_batch.emulator import Emulator

_LONGER_THAN_ANY_BATCH_SECONDS = 3600
_KEY = re.compile(r"Review (\d+):")


def rows_paid(emulator: Emulator) -> Counter[int]:
    """
    Return how often each row was billed, by key, once every batch has ended.

    Only a succeeded result is billed. Batches that nobody waits for end too: their time is made to pass.
    """
    emulator.advance(_LONGER_THAN_ANY_BATCH_SECONDS)
    while any(batch["processing_status"] != "ended" for batch in emulator.batches):
        time.sleep(0.2)
    paid: Counter[int] = Counter()
    for batch in emulator.batches:
        paid.update(_billed_keys(emulator.state / "batches" / batch["id"]))
    return paid


def _billed_keys(folder: Path) -> list[int]:
    keys = {}
    for request in _lines(folder / "requests.jsonl"):
        content = request["params"]["messages"][0]["content"]
        text = content if isinstance(content, str) else content[0]["text"]
        keys[request["custom_id"]] = int(_KEY.findall(text)[0])
    return [
        keys[line["custom_id"]]
        for line in _lines(results_path(folder))
        if line["result"]["type"] == "succeeded"
    ]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
