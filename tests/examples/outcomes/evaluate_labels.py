"""A run without a baseline has scores for every golden case, and a page with a chart."""

import json
import xml.etree.ElementTree as ET

import pandas as pd
import pyarrow.parquet as pq

GOLDEN = (
    "select name, trove_topic, requires_python from packages "
    "where trove_topic is not null and requires_python is not null order by name"
)


def conf(folder):
    return {"destination": str(folder / "first")}


def check(folder, query):
    run = folder / "first"
    golden = query(GOLDEN)
    scores = pd.read_parquet(run / "scores.parquet")
    assert dict(scores.dtypes.astype(str)) == {
        **dict.fromkeys(["package", "scorer", "expected", "answer"], "str"),
        "score": "float64",
        "passed": "boolean",
    }
    by_scorer = {scorer: rows.set_index("package") for scorer, rows in scores.groupby("scorer")}
    assert set(by_scorer) == {"topic", "name", "requires_python", "purpose"}
    assert all(list(rows.index) == [name for name, *_ in golden] for rows in by_scorer.values())

    topics = by_scorer["topic"]
    assert topics["expected"].to_list() == [topic for _, topic, _ in golden]
    assert (topics["passed"] == (topics["answer"] == topics["expected"])).all()
    # The emulator copies what stands behind a label, and finds a good part of the topics.
    assert by_scorer["name"]["passed"].all()
    assert by_scorer["requires_python"]["passed"].all()
    assert 0.2 < topics["score"].mean() < 1

    grades = pq.read_table(run / "grades" / "data.parquet").sort_by("package")
    assert set(grades["grade"].to_pylist()) <= {1, 2, 3, 4, 5}
    assert by_scorer["purpose"]["score"].to_list() == [
        (grade - 1) / 4 for grade in grades["grade"].to_pylist()
    ]
    assert json.loads((run / "comparison.json").read_text()) == []
    chart = chart_in((run / "report.html").read_text())
    assert set(by_scorer) <= {*chart.itertext()}


def chart_in(page):
    """Return the page's one SVG, parsed."""
    start, end = page.index("<svg"), page.index("</svg>") + len("</svg>")
    assert page.count("<svg") == 1
    return ET.fromstring(page[start:end])  # noqa: S314  the page is ours
