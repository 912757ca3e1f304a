"""A candidate is compared with a baseline: free where nothing changed, and stopped where it is worse."""

import html
import json
import re
import runpy

import pandas as pd
import pytest
from scipy.stats import binomtest

from tests.examples.conftest import EXAMPLE_DAGS
from tests.examples.outcomes.evaluate_labels import chart_in, check

#: A prompt that hides all that the answer could be taken from.
BLIND = "Which one is it?\n\nThe package {package}."


@pytest.fixture(scope="module")
def parts():
    return runpy.run_path(str(EXAMPLE_DAGS / "evaluate_labels_parts.py"))


def comparisons(folder):
    return {each["scorer"]: each for each in json.loads((folder / "comparison.json").read_text())}


def test_a_first_run_is_a_baseline_and_the_same_again_is_free(run_example, warehouse, tmp_path, emulator):
    assert set(run_example("evaluate_labels").values()) == {"success"}
    check(tmp_path, warehouse)
    creates = emulator.calls.count_of("create")
    second = {"destination": str(tmp_path / "second"), "baseline": str(tmp_path / "first")}
    assert set(run_example("evaluate_labels", second).values()) == {"success"}
    assert emulator.calls.count_of("create") == creates
    assert {each["verdict"] for each in comparisons(tmp_path / "second").values()} == {"no change"}
    scores = [(tmp_path / run / "scores.parquet").read_bytes() for run in ("first", "second")]
    assert scores[0] == scores[1]


def test_a_worse_prompt_flips_cases_and_fails_with_a_report(run_example, warehouse, tmp_path, capsys):
    odd = ("0<b>&co", "1", "A web client.", "It speaks HTTP.", ">=3.9", "web")
    warehouse("insert into packages select 999, ?, ?, ?, ?, ?, [], ?, now()", odd)
    run_example("evaluate_labels", {"limit": 40})
    worse = {"destination": str(tmp_path / "worse"), "baseline": str(tmp_path / "first"), "prompt": BLIND}
    states = run_example("evaluate_labels", {**worse, "limit": 40})
    assert {name: state for name, state in states.items() if state != "success"} == {"gate": "failed"}
    assert "Worse than the baseline: topic fell from" in capsys.readouterr().out

    passed = [
        pd.read_parquet(tmp_path / run / "scores.parquet").set_index(["scorer", "package"])["passed"]
        for run in ("first", "worse")
    ]
    found = comparisons(tmp_path / "worse")
    for scorer, each in found.items():
        before, after = (run[scorer] for run in passed)
        assert [flip["package"] for flip in each["lost"]] == list(before[before & ~after].index)
        assert [flip["package"] for flip in each["gained"]] == list(before[~before & after].index)
    assert found["topic"]["verdict"] == "worse"
    assert odd[0] in [flip["package"] for flip in found["requires_python"]["lost"]]

    page = (tmp_path / "worse" / "report.html").read_text()
    assert {"topic", "candidate", "baseline"} <= {*chart_in(page).itertext()}
    cells = {*re.findall("<td>([^<]*)", page)}
    assert {html.escape(flip["package"]) for flip in found["topic"]["lost"]} <= cells
    assert html.escape(odd[0]) in cells
    assert odd[0] not in page


def test_a_baseline_that_is_not_there_stops_the_run_before_anything_is_sent(run_example, tmp_path, emulator):
    states = run_example("evaluate_labels", {"baseline": str(tmp_path / "nowhere")})
    assert states["baseline"] == "failed"
    assert set(states.values()) == {"failed", "upstream_failed"}
    assert emulator.batches == []


def scores(**passed):
    """Return scores of numbered cases, where all scorers say what is given for ``topic`` unless given too."""
    rows = [
        (f"case-{number}", scorer, "web", "web" if each else "test", float(each), each)
        for scorer in ("topic", "name", "requires_python", "purpose")
        for number, each in enumerate(passed.get(scorer, passed["topic"]))
    ]
    return pd.DataFrame(rows, columns=["package", "scorer", "expected", "answer", "score", "passed"])


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([True] * 40, [True] * 40, "no change"),
        ([True] * 40, [True] * 38 + [False] * 2, "within the noise"),
        ([True] * 40, [True] * 20 + [False] * 20, "worse"),
        ([False] * 20 + [True] * 20, [True] * 40, "better"),
        # The interval alone would say that five of five are no chance.
        ([True] * 5, [False] * 5, "within the noise"),
    ],
)
def test_a_verdict_needs_more_than_chance(parts, before, after, verdict):
    compared = parts["compare"](scores(topic=after), scores(topic=before), alpha=0.05, allowed_drop=0.02)
    topic = next(each for each in compared if each.scorer == "topic")
    assert topic.verdict == verdict
    lost = sum(a > b for a, b in zip(before, after, strict=True))
    gained = sum(a < b for a, b in zip(before, after, strict=True))
    assert (len(topic.lost), len(topic.gained)) == (lost, gained)
    assert topic.low <= topic.candidate - topic.baseline <= topic.high
    by_chance = binomtest(lost, lost + gained).pvalue if lost + gained else 1
    assert topic.p_value == pytest.approx(by_chance)


def test_a_drop_that_is_allowed_is_not_worse(parts):
    before, after = scores(topic=[True] * 100), scores(topic=[True] * 80 + [False] * 20)
    strict, lenient = (
        {each.verdict for each in parts["compare"](after, before, alpha=0.05, allowed_drop=allowed)}
        for allowed in (0.02, 0.3)
    )
    assert (strict, lenient) == ({"worse"}, {"within the noise"})
    assert parts["to_message"]([]) == ""


def test_cases_whose_truth_has_changed_are_not_compared(parts):
    before, after = scores(topic=[True] * 10), scores(topic=[True] * 10)
    after.loc[after["package"] == "case-3", "expected"] = "database"
    compared = parts["compare"](after, before, alpha=0.05, allowed_drop=0.02)
    assert {each.cases for each in compared} == {9}
    before["package"] = "another"
    with pytest.raises(ValueError, match="no case is in both runs"):
        parts["compare"](after, before, alpha=0.05, allowed_drop=0.02)


def test_versions_are_the_same_however_they_are_written(parts):
    same = parts["SAME"]["requires_python"]
    assert same(">= 3.10, <4") == same("<4,>=3.10")
    assert same(">=3.10") != same(">=3.9")
    assert same("any") != same(">=3.9")
