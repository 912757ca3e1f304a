"""The index of the documentation over some days: what changed is asked about, nothing bad is published."""

import pydoc_data.topics
import runpy

import pytest

from tests.examples.conftest import EXAMPLE_DAGS
from tests.examples.outcomes.enrich_chunks import check, index

TASKS = ["chunk", "enrich.submit", "enrich.wait", "enrich.load", "index", "check", "publish"]
ALL = "from chunks order by document, ordinal"
FEW = {"modules": ["json"], "longest": 1500}


def requests_in(emulator):
    return sum(sum(batch["request_counts"].values()) for batch in emulator.batches)


def test_every_chunk_is_in_the_index_once_and_typed(run_example, warehouse, tmp_path, emulator):
    assert run_example("enrich_chunks") == dict.fromkeys(TASKS, "success")
    check(tmp_path, warehouse)
    assert requests_in(emulator) == index(tmp_path, "select count(distinct (title, text)) from chunks")[0][0]


def test_only_what_changed_is_asked_about_and_what_is_gone_leaves_the_index(
    run_example, warehouse, tmp_path, emulator
):
    run_example("enrich_chunks")
    before, asked = index(tmp_path, ALL), requests_in(emulator)
    (longest,), (shortest,) = warehouse(
        "(select name from topics where length(body) <= 6000 order by length(body) desc limit 1) union all "
        "(select name from topics order by length(body) limit 1)"
    )
    warehouse("update topics set body = 'It is all new at the front.\n\n' || body where name = ?", [longest])
    warehouse("delete from topics where name = ?", [shortest])
    assert run_example("enrich_chunks") == dict.fromkeys(TASKS, "success")
    check(tmp_path, warehouse)
    after = index(tmp_path, ALL)
    new = {(row[0], row[2]) for row in after} - {(row[0], row[2]) for row in before}
    assert {document for document, _ in new} == {f"topic/{longest}"}
    assert requests_in(emulator) - asked == len(new)
    assert len(new) < len([row for row in after if row[0] == f"topic/{longest}"])
    assert [row for row in after if row[0] != f"topic/{longest}"] == [
        row for row in before if row[0] not in (f"topic/{longest}", f"topic/{shortest}")
    ]


def test_a_day_without_changes_asks_nothing_and_everything_pays_for_nothing_again(
    run_example, tmp_path, emulator
):
    run_example("enrich_chunks", FEW)
    before, creates = index(tmp_path, ALL), emulator.calls.count_of("create")
    assert run_example("enrich_chunks", FEW) == dict.fromkeys(TASKS, "success")
    assert index(tmp_path, ALL) == before
    assert run_example("enrich_chunks", {**FEW, "everything": True}) == dict.fromkeys(TASKS, "success")
    assert index(tmp_path, ALL) == before
    assert emulator.calls.count_of("create") == creates


def test_too_many_chunks_without_an_answer_leave_the_index_as_it_was(run_example, tmp_path, emulator):
    run_example("enrich_chunks", FEW)
    before = index(tmp_path, ALL)
    emulator.fail("lines", with_="refusal", share=0.3, times=None)
    emulator.fail("lines", with_="invalid-output", share=0.3, times=None)
    states = run_example("enrich_chunks", {**FEW, "longest": 3000})
    assert [states[name] for name in TASKS[3:5]] == ["failed", "upstream_failed"]
    assert index(tmp_path, ALL) == before


def test_questions_that_lead_nowhere_leave_the_index_as_it_was(run_example, warehouse, tmp_path, emulator):
    run_example("enrich_chunks", FEW)
    before, creates = index(tmp_path, ALL), emulator.calls.count_of("create")
    # Of two sentences that begin every document, the model makes its questions.
    warehouse("update topics set body = 'See here for more.\nSee there for the rest.\n\n' || body")
    states = run_example("enrich_chunks", FEW)
    assert [states[name] for name in TASKS[4:]] == ["success", "failed", "upstream_failed"]
    assert index(tmp_path, ALL) == before
    assert emulator.calls.count_of("create") > creates


@pytest.fixture(scope="module")
def cut():
    return runpy.run_path(str(EXAMPLE_DAGS / "enrich_chunks_parts.py"))["cut"]


@pytest.mark.parametrize("size", [200, 1500])
def test_chunks_hold_every_word_in_order_and_no_more_than_their_size(cut, size):
    for text in pydoc_data.topics.topics.values():
        chunks = [*cut(text, size=size)]
        assert all(0 < len(chunk) <= size for chunk in chunks)
        letters = "".join(filter(str.isalnum, text))
        assert "".join(filter(str.isalnum, "".join(chunks))) == letters


def test_what_comes_to_the_front_leaves_most_chunks_as_they_were(cut):
    texts = [text for text in pydoc_data.topics.topics.values() if len(text) > 10_000]
    before = [{*cut(text, size=1500)} for text in texts]
    after = [{*cut("Something new.\n\n" + text, size=1500)} for text in texts]
    kept = sum(len(old & new) for old, new in zip(before, after, strict=True))
    assert kept > 0.9 * sum(map(len, before))
