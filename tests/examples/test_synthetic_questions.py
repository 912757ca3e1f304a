"""A data set of generated questions: the same again is the same bytes, and what is alike is there once."""

import random
import runpy

import pyarrow.parquet as pq
import pytest

from tests.examples.conftest import EXAMPLE_DAGS
from tests.examples.outcomes.synthetic_questions import FILES, check, check_accounts


@pytest.fixture(scope="module")
def parts():
    return runpy.run_path(str(EXAMPLE_DAGS / "synthetic_questions_parts.py"))


def test_a_data_set_is_whole_and_the_same_again_is_free(run_example, warehouse, tmp_path, emulator):
    assert set(run_example("synthetic_questions").values()) == {"success"}
    check(tmp_path, warehouse)
    files = {name: (tmp_path / "questions" / name).read_bytes() for name in FILES}
    creates = emulator.calls.count_of("create")
    assert set(run_example("synthetic_questions").values()) == {"success"}
    assert emulator.calls.count_of("create") == creates
    assert {name: (tmp_path / "questions" / name).read_bytes() for name in FILES} == files


def test_too_few_samples_write_nothing_and_every_one_left_out_has_its_reason(
    run_example, warehouse, tmp_path, emulator, capsys
):
    warehouse("insert into topics select 999, 'assert-again', body from topics where name = 'assert'")
    emulator.fail("lines", with_="refusal", count=2)
    assert run_example("synthetic_questions", {"seeds": 3, "min_kept": 0.9})["curate"] == "failed"
    assert "No data set was written" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "questions").iterdir()] == ["answers"]

    states = run_example("synthetic_questions", {"seeds": 3, "min_kept": 0.1})
    assert set(states.values()) == {"success"}
    assert emulator.faults_left == 0
    train, test, dropped = (
        pq.read_table(tmp_path / "questions" / f"{name}.parquet").to_pylist()
        for name in ("train", "test", "dropped")
    )
    check_accounts([*train, *test], dropped, seeds=["assert", "assert-again", "assignment"])
    assert {left["reason"] for left in dropped} == {"near-duplicate"}
    kept = {(row["topic"], f"{row['asked_by']} {row['difficulty']}") for row in [*train, *test]}
    assert kept
    assert not {angle for topic, angle in kept if topic == "assert"} & {
        angle for topic, angle in kept if topic == "assert-again"
    }


def row(number, **changes):
    return {
        "topic": f"topic {number}",
        "asked_by": "beginner",
        "difficulty": "easy",
        "question": f"What is number {number} and what is it for, in the words of page {number * 7}?",
        "answer": f"It is the thing that page {number * 7} calls number {number}.",
        "evidence": f"number {number}",
        "body": f"This is\nnumber {number}.",
        "claude_outcome": "ok",
        **changes,
    }


def test_what_quotes_other_words_than_its_text_has_is_left_out(parts):
    unusable = dict.fromkeys(["question", "answer", "evidence"])
    rows = [
        row(1, evidence="This is number 1"),
        row(2, evidence="number 22"),
        row(3, claude_outcome="refused", **unusable),
    ]
    curated = parts["curate"](rows, max_similarity=0.9, test_share=0)
    assert [kept["topic"] for kept in curated.splits["train"]] == ["topic 1"]
    assert {left["topic"]: left["reason"] for left in curated.dropped} == {
        "topic 2": "evidence not in the text",
        "topic 3": "no usable answer",
    }


def test_a_seed_stays_in_its_split_when_others_come_and_the_order_of_rows_does_not_matter(parts):
    rows = [row(number) for number in range(60)]
    few = parts["curate"](rows[:30], max_similarity=1, test_share=0.3)
    shuffled = random.Random(5).sample(rows, k=len(rows))  # noqa: S311
    many, again = (parts["curate"](each, max_similarity=1, test_share=0.3) for each in (rows, shuffled))
    assert many == again
    for split in ("train", "test"):
        topics = {kept["topic"] for kept in many.splits[split]}
        assert {kept["topic"] for kept in few.splits[split]} == topics & {each["topic"] for each in rows[:30]}
        assert len(topics) > 5


@pytest.mark.parametrize("max_similarity", [0.3, 0.5, 0.8])
def test_no_near_duplicate_is_kept_and_none_is_dropped_without_its_like(parts, max_similarity):
    chance = random.Random(3)  # noqa: S311
    texts = [
        " ".join([*words[changed:], *chance.choices("uvwxyz", k=changed)])
        for words in (chance.choices(["ab", "cd", "ef", "gh", "ij", "kl"], k=30) for _ in range(50))
        for changed in range(0, 30, 3)
    ]
    chance.shuffle(texts)
    dropped = {*parts["near_duplicates"](texts, max_similarity=max_similarity)}
    runs = [{*zip(words, words[1:], words[2:], strict=False)} for words in map(str.split, texts)]
    kept = []
    for number, own in enumerate(runs):
        alike = any(len(own & other) / len(own | other) > max_similarity for other in kept)
        assert (number in dropped) == alike
        if not alike:
            kept.append(own)
    assert 50 <= len(kept) < len(texts)
