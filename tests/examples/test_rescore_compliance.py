import datetime as dt
import json
import runpy

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.examples.outcomes.rescore_compliance import check
from tests.examples.records import last_run, question, xcoms

DAG_ID = "rescore_compliance"
REJECT = {"review": {"chosen_options": ["Reject"]}}
TABLE = "from compliance_labels order by name"

#: Labels that somebody else has given, before this Dag.
LABEL_BY_HAND = """
    create table compliance_labels as
    select name, version, 'network server' as breach, 'read it' as why, '2025.4' as policy,
        'a person' as model, '' as batch_id, '' as custom_id, '' as run_id, seen_at as scored_at
    from packages
"""


def folder_of(archive, policy):
    """Return the folder of the last run under a policy."""
    return max((archive / f"policy={policy}").iterdir())


def requests_in(emulator):
    return sum(sum(batch["request_counts"].values()) for batch in emulator.batches)


def test_the_first_run_labels_everything_and_asks_nobody(run_example, warehouse, tmp_path):
    states = run_example(DAG_ID, answers={})
    assert states.pop("review") == "skipped"
    assert set(states.values()) == {"success"}
    check(tmp_path, warehouse)


def test_flips_that_a_person_approves_replace_the_labels_and_a_second_run_is_free(
    run_example, warehouse, tmp_path, emulator
):
    run_example(DAG_ID)
    before = dict(warehouse("select name, breach from compliance_labels"))
    states = run_example(DAG_ID, {"policy": "2026.2"})
    assert set(states.values()) == {"success"}
    check(tmp_path, warehouse, policy="2026.2")

    after = dict(warehouse("select name, breach from compliance_labels"))
    flips = pq.read_table(folder_of(tmp_path / "archive", "2026.2") / "flips.parquet").to_pylist()
    assert {(flip["name"], flip["breach_before"], flip["breach"]) for flip in flips} == {
        (name, before[name], after[name]) for name in before if before[name] != after[name]
    }
    assert {flip["kind"] for flip in flips} == {"newly flagged", "newly cleared", "another rule"}
    assert all((flip["kind"] == "newly cleared") == (flip["breach"] == "none") for flip in flips)
    assert {(flip["policy_before"], flip["policy"]) for flip in flips} == {("2026.1", "2026.2")}
    said = question(DAG_ID)
    for counted in (f"{len(flips)} labels flip", *_counts(flips, "kind")):
        assert counted in said

    runs = warehouse("select distinct run_id from compliance_labels")
    assert runs == [(last_run(DAG_ID),)]
    heard = json.dumps([list(xcoms(DAG_ID).values()), said], default=str)
    texts = warehouse("select why from compliance_labels where length(why) > 20")
    assert [why for (why,) in texts if json.dumps(why)[1:-1] in heard] == []

    # As after a *clear*, when the table holds the new labels.
    told, folder = xcoms(DAG_ID), folder_of(tmp_path / "archive", "2026.2")
    compare = runpy.run_path("example_dags/rescore_compliance.py")[DAG_ID].get_task("compare").python_callable
    found = compare(told["score.load", "return_value"], str(folder), {"policy": "2026.2"}, last_run(DAG_ID))
    assert found == told["compare", "return_value"]
    assert pq.read_table(folder / "flips.parquet").to_pylist() == flips

    table, calls = warehouse(TABLE), emulator.calls.count_of("create")
    states = run_example(DAG_ID, {"policy": "2026.2"}, answers={})
    assert states["review"] == "skipped"
    assert states["take_over"] == "success"
    assert warehouse(TABLE) == table
    assert emulator.calls.count_of("create") == calls


def test_flips_that_a_person_rejects_leave_the_table_as_it_was(run_example, warehouse, tmp_path, emulator):
    warehouse(LABEL_BY_HAND)
    table = warehouse(TABLE)
    began_at = dt.datetime.now(dt.UTC)
    states = run_example(DAG_ID, answers=REJECT)
    ended_at = dt.datetime.now(dt.UTC)
    assert states["take_over"] == "skipped"
    assert warehouse(TABLE) == table

    paid = requests_in(emulator)
    run_example(DAG_ID)
    assert requests_in(emulator) == paid == len(table)
    assert warehouse("select distinct policy from compliance_labels") == [("2026.1",)]
    # The time of the answers, which the first run has paid for.
    ((scored_at,),) = warehouse("select distinct scored_at from compliance_labels")
    assert began_at < scored_at < ended_at


def _counts(flips, name):
    counts = pd.Series([flip[name] for flip in flips]).value_counts()
    return [f"{count} {value}" for value, count in counts.items()]


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.syspath_prepend("example_dags")
    import rescore_compliance_parts

    return rescore_compliance_parts


def labels(policy, **breaches):
    """Return the rows of some packages, each with its rule."""
    rows = [
        {
            "name": name,
            "breach": breach,
            "policy": policy,
            "custom_id": f"{name}-{policy}",
            "why": "it says so",
        }
        for name, breach in breaches.items()
    ]
    return pd.DataFrame(rows).astype("str").where(lambda frame: frame != "nan")


def test_what_flips_is_told_by_kind_and_what_has_no_answer_is_left_alone(parts):
    before = labels("1", same="none", caught="none", freed="secrets", moved="secrets", silent="secrets")
    after = labels(
        "2", same="none", caught="secrets", freed="none", moved="telemetry", silent=None, fresh="none"
    )
    found = parts.compare(before, after)
    assert dict(zip(found.flips["name"], found.flips["kind"], strict=True)) == {
        "caught": "newly flagged",
        "freed": "newly cleared",
        "moved": "another rule",
    }
    assert (found.added, found.unanswered) == (1, 1)
    assert set(found.new["name"]) == {"same", "caught", "freed", "moved", "fresh"}
    assert found.confusion.loc["secrets", "telemetry"] == 1
    assert int(found.confusion.to_numpy().sum()) == 4


def test_labels_that_the_table_holds_are_not_written_again(parts):
    held = labels("2", one="none", two="secrets")
    assert parts.compare(held, held).new.empty


def test_the_page_shows_what_an_answer_says_as_text(parts):
    after = labels("2", odd="secrets").assign(why="<script>alert(1)</script>")
    page = parts.to_page(parts.compare(labels("1", odd="none"), after))
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
