"""
Generated questions and answers to a data set: what is left out, what is training and what is test, the files.

Values in, values out; imports nothing of Airflow.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Columns of the data set, in order; the first is the seed row that a sample was made from.
COLUMNS = ["topic", "asked_by", "difficulty", "question", "answer", "evidence"]

SPLITS = ["train", "test"]

#: Why a sample is left out.
UNUSABLE, NOT_QUOTED, NEAR_DUPLICATE = "no usable answer", "evidence not in the text", "near-duplicate"

#: Words of a shingle: two texts are as similar as the share of shingles that they have in common.
SHINGLE_WORDS = 3

_PERMUTATIONS = 256

#: The index is asked for pairs that are half as alike as what is left out: from a similarity of 0.5 on it
#: misses fewer than one in a thousand. What it finds too much is counted exactly.
_LOOK_BELOW = 0.5


@dataclass(frozen=True, slots=True)
class Curated:
    """
    What became of the samples, each list in the order of their texts.

    :param splits: Rows with :data:`COLUMNS`, by ``train`` and ``test``.
    :param dropped: The other rows, with ``reason``.
    """

    splits: dict[str, list[dict[str, Any]]]
    dropped: list[dict[str, Any]]

    @property
    def kept_share(self) -> float:
        """Return the share of samples that are kept."""
        kept = sum(map(len, self.splits.values()))
        return kept / max(kept + len(self.dropped), 1)

    def counts(self) -> dict[str, Any]:
        """Return what the data card says in numbers."""
        return {
            "samples": sum(map(len, self.splits.values())) + len(self.dropped),
            "kept": {
                split: {"samples": len(rows), "seeds": len({row["topic"] for row in rows})}
                for split, rows in self.splits.items()
            },
            "dropped": dict(sorted(Counter(row["reason"] for row in self.dropped).items())),
        }


def curate(rows: Iterable[Mapping[str, Any]], *, max_similarity: float, test_share: float) -> Curated:
    """
    Leave out what cannot be used, and divide the rest.

    Which one is kept of samples that are alike depends on their texts alone, not on the order of ``rows``.

    :param rows: The load's rows: :data:`COLUMNS`, ``body`` and ``claude_outcome``.
    :param max_similarity: Highest similarity of two samples that are both kept.
    :param test_share: Share of the seed rows whose samples are for tests.
    """
    ordered = sorted(rows, key=lambda row: [row[name] or "" for name in COLUMNS])
    usable = [row for row in ordered if not _fault(row)]
    texts = [f"{row['question']}\n{row['answer']}" for row in usable]
    alike = near_duplicates(texts, max_similarity=max_similarity)
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for number, row in enumerate(usable):
        if number not in alike:
            splits[split_of(row["topic"], test_share=test_share)].append(_chosen(row))
    dropped = [{**_chosen(row), "reason": fault} for row in ordered if (fault := _fault(row))]
    dropped += [{**_chosen(usable[number]), "reason": NEAR_DUPLICATE} for number in alike]
    return Curated(splits, dropped)


def _chosen(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in COLUMNS}


def _fault(row: Mapping[str, Any]) -> str | None:
    """Say why an answer cannot be used: what does not quote its text was made up."""
    if row["claude_outcome"] != "ok":
        return UNUSABLE
    quoted, body = (" ".join(row[name].split()) for name in ("evidence", "body"))
    return None if quoted and quoted in body else NOT_QUOTED


def near_duplicates(texts: Sequence[str], *, max_similarity: float) -> list[int]:
    """
    Return the positions of texts that are too similar to one before them that is kept.

    MinHash finds the candidates, in memory that grows with the number of texts; the similarity of each pair
    is then counted exactly.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=_LOOK_BELOW * max_similarity, num_perm=_PERMUTATIONS)
    all_shingles = [shingles(text) for text in texts]
    encoded = ([shingle.encode() for shingle in each] for each in all_shingles)
    found = []
    for number, sketch in enumerate(MinHash.generator(encoded, num_perm=_PERMUTATIONS, seed=1)):
        own = all_shingles[number]
        if any(similarity(own, all_shingles[other]) > max_similarity for other in index.query(sketch)):
            found.append(number)
        else:
            index.insert(number, sketch)
    return found


def shingles(text: str) -> set[str]:
    """Return every run of :data:`SHINGLE_WORDS` words, without case or punctuation."""
    words = re.findall(r"\w+", text.lower())
    return {
        " ".join(words[start : start + SHINGLE_WORDS])
        for start in range(max(len(words) - SHINGLE_WORDS + 1, 1))
    }


def similarity(one: set[str], other: set[str]) -> float:
    """Return the Jaccard similarity of two sets that are not empty."""
    return len(one & other) / len(one | other)


def split_of(seed: str, *, test_share: float) -> str:
    """Return the split of a seed row, which other seed rows do not change."""
    place = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) / 2**64
    return "test" if place < test_share else "train"


def to_files(curated: Curated, *, system: str, about: Mapping[str, object]) -> dict[str, bytes]:
    """
    Return the files of the data set by name, the card last: the same samples make the same bytes.

    :param system: The system prompt of every chat.
    :param about: How the samples were made, for the card.
    """
    files = {}
    for split, rows in curated.splits.items():
        files[f"{split}.parquet"] = _to_parquet(rows, COLUMNS)
        files[f"{split}.jsonl"] = "".join(f"{to_chat(row, system=system)}\n" for row in rows).encode()
    files["dropped.parquet"] = _to_parquet(curated.dropped, [*COLUMNS, "reason"])
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    card = {"about": dict(about), **curated.counts(), "sha256": digests}
    files["card.md"] = _to_markdown(card).encode()
    files["card.json"] = json.dumps(card, indent=2, ensure_ascii=False).encode()
    return files


def to_chat(row: Mapping[str, Any], *, system: str) -> str:
    """Return one line of chat JSONL."""
    turns = {"system": system, "user": row["question"], "assistant": row["answer"]}
    messages = [{"role": role, "content": text} for role, text in turns.items()]
    return json.dumps({"messages": messages}, ensure_ascii=False)


def _to_parquet(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    schema = pa.schema([(name, pa.string()) for name in columns])
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _to_markdown(card: Mapping[str, Any]) -> str:
    kept = [(f"kept: {split}", f"{n['samples']} of {n['seeds']} seeds") for split, n in card["kept"].items()]
    dropped = [(f"dropped: {reason}", count) for reason, count in card["dropped"].items()]
    lines = ["# Data card", "", "| | |", "|---|---|"]
    for name, value in [*card["about"].items(), ("samples", card["samples"]), *kept, *dropped]:
        lines.append(f"| {name} | {value} |")
    return "\n".join(lines) + "\n"
