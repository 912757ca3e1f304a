"""The rows in what a pipeline left, whatever its form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Landed:
    """
    Unique rows in the output.

    :param in_file: Whatever became of them.
    :param answered: With an answer.
    """

    in_file: int
    answered: int


def rows_landed(form: str, folder: Path) -> Landed:
    """
    Return what is in the output of a run, none where there is no file or it cannot be read.

    :param form: ``parquet`` of this package, ``results`` as the API sends them, or the ``rows`` of
        ``LLMBatchOperator``.
    """
    try:
        found = dict(_READERS[form](folder))
    except (FileNotFoundError, json.JSONDecodeError):
        found = {}
    return Landed(in_file=len(found), answered=sum(found.values()))


def _parquet(folder: Path) -> Iterator[tuple[object, bool]]:
    columns = pq.read_table(folder / "data.parquet", columns=["id", "claude_outcome"]).to_pydict()
    for key, outcome in zip(columns["id"], columns["claude_outcome"], strict=True):
        yield key, outcome in ("ok", "truncated")


def _results(folder: Path) -> Iterator[tuple[object, bool]]:
    for line in (folder / "results.jsonl").read_text().splitlines():
        result = json.loads(line)
        yield result["custom_id"], result["result"]["type"] == "succeeded"


def _rows(folder: Path) -> Iterator[tuple[object, bool]]:
    for file in folder.glob("*/*.jsonl"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            yield row["index"], row["status"] == "success"


_READERS = {"parquet": _parquet, "results": _results, "rows": _rows}
