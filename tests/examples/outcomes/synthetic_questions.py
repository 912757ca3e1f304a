"""A data set whose samples are all accounted for, none like another, and no topic in both splits."""

import hashlib
import json
import re
from itertools import combinations

import pyarrow.parquet as pq

SAMPLES_PER_SEED = 3 * 2 * 2
MAX_SIMILARITY = 0.5
FILES = [
    "card.json",
    "card.md",
    "dropped.parquet",
    "test.jsonl",
    "test.parquet",
    "train.jsonl",
    "train.parquet",
]


def conf(folder):
    return {"destination": str(folder / "questions"), "seeds": 15, "max_similarity": MAX_SIMILARITY}


def check(folder, query):
    destination = folder / "questions"
    assert sorted(path.name for path in destination.iterdir() if path.is_file()) == FILES
    seeds = query("select name, body from topics order by name limit 15")
    bodies = {name: " ".join(body.split()) for name, body in seeds}
    splits = {name: pq.read_table(destination / f"{name}.parquet").to_pylist() for name in ("train", "test")}
    dropped = pq.read_table(destination / "dropped.parquet").to_pylist()
    kept = [row for rows in splits.values() for row in rows]
    check_accounts(kept, dropped, seeds=[name for name, _ in seeds])
    assert all(" ".join(row["evidence"].split()) in bodies[row["topic"]] for row in kept)
    assert most_similar(kept) <= MAX_SIMILARITY

    topics = {name: {row["topic"] for row in rows} for name, rows in splits.items()}
    assert all(topics.values())
    assert not topics["train"] & topics["test"]
    for name, rows in splits.items():
        chats = [json.loads(line) for line in (destination / f"{name}.jsonl").read_text().splitlines()]
        assert [
            [(message["role"], message["content"]) for message in chat["messages"][1:]] for chat in chats
        ] == [[("user", row["question"]), ("assistant", row["answer"])] for row in rows]
        assert {chat["messages"][0]["role"] for chat in chats} == {"system"}

    card = json.loads((destination / "card.json").read_text())
    assert card["samples"] == len(seeds) * SAMPLES_PER_SEED
    assert card["kept"] == {
        name: {"samples": len(rows), "seeds": len(topics[name])} for name, rows in splits.items()
    }
    assert sum(card["dropped"].values()) == len(dropped)
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((destination / name).read_bytes()).hexdigest() == digest


def check_accounts(kept, dropped, *, seeds):
    """Check that every seed has as many samples as were asked for, kept or with a reason."""
    asked = [(row["topic"], row["asked_by"], row["difficulty"]) for row in [*kept, *dropped]]
    assert sorted({topic for topic, *_ in asked}) == sorted(seeds)
    assert len(asked) == len(seeds) * SAMPLES_PER_SEED
    assert {asked.count(one) for one in asked} == {2}
    assert all(row["reason"] for row in dropped)


def most_similar(rows):
    """Return the highest Jaccard similarity of any two rows, by their runs of three words."""
    runs = []
    for row in rows:
        words = re.findall(r"\w+", f"{row['question']} {row['answer']}".lower())
        runs.append({*zip(words, words[1:], words[2:], strict=False)})
    return max(len(one & other) / len(one | other) for one, other in combinations(runs, 2))
