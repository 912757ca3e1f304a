"""
Scores, their comparison with a baseline, and the report page: what `evaluate_labels` does with the answers.

Values in, values out; imports nothing of Airflow.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import pandas as pd

#: Resamples of the bootstrap; its seed is fixed, so that the same scores have the same interval.
RESAMPLES = 9_999

#: Highest grade of the judge; the lowest is 1.
BEST_GRADE = 5


def _specifiers(text: str) -> frozenset[object]:
    """Return what a ``Requires-Python`` asks for, in whatever order and spacing it is written."""
    try:
        return frozenset(SpecifierSet(text))
    except InvalidSpecifier:
        return frozenset([text])


#: What an answer and the truth have to be equal in; the label is compared as it stands.
SAME: Mapping[str, Callable[[str], object]] = {
    "topic": str,
    "name": canonicalize_name,
    "requires_python": _specifiers,
}

KINDS = {"topic": "exact", "name": "field", "requires_python": "field", "purpose": "judge"}


def score_answers(answers: pd.DataFrame, grades: pd.DataFrame, *, least_grade: int) -> pd.DataFrame:
    """
    Return one row for each case and scorer, in the order of the cases' keys.

    A case without a usable answer has the score 0 with every scorer: that is the candidate's fault. A grade
    that is missing is the judge's, and has no score.

    :param answers: The load's rows, with ``golden_topic`` and so on beside the answers.
    :param grades: The judge's rows, with ``package``, ``grade`` and ``claude_outcome``.
    :param least_grade: From which on the judged text passes.
    """
    import pandas as pd

    good = grades[grades["claude_outcome"] == "ok"]
    given = dict(zip(good["package"], good["grade"], strict=True))
    rows = []
    for case in answers.sort_values("package").to_dict("records"):
        is_ok = case["claude_outcome"] == "ok"
        for scorer, same in SAME.items():
            expected, answer = case[f"golden_{scorer}"], case[scorer] if is_ok else None
            passed = is_ok and same(answer) == same(expected)
            rows.append((case["package"], scorer, expected, answer, float(passed), passed))
        grade = given.get(case["package"]) if is_ok else 1
        score = None if grade is None else (grade - 1) / (BEST_GRADE - 1)
        passed = None if grade is None else is_ok and bool(grade >= least_grade)
        rows.append((case["package"], "purpose", None, case["purpose"] if is_ok else None, score, passed))
    columns = ["package", "scorer", "expected", "answer", "score", "passed"]
    types = dict.fromkeys(columns[:4], "str") | {"score": "float64", "passed": "boolean"}
    return pd.DataFrame(rows, columns=columns).astype(types)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    One scorer in both runs; scores are shares from 0 to 1, and a grade is a quarter.

    :param cases: Cases that both runs have, with the same truth.
    :param low: Lower end of the interval of the difference, candidate less baseline.
    :param p_value: McNemar's exact test of the flips.
    :param lost: Cases that passed with the baseline and fail with the candidate, each with what was expected
        and answered; ``gained`` the other way.
    :param verdict: ``no change``, ``worse``, ``better`` or ``within the noise``.
    """

    scorer: str
    kind: str
    cases: int
    baseline: float
    candidate: float
    low: float
    high: float
    allowed_drop: float
    p_value: float
    lost: list[dict[str, str | None]]
    gained: list[dict[str, str | None]]
    verdict: str

    def summary(self) -> dict[str, Any]:
        """Return everything but the flips, which are counted."""
        return {**asdict(self), "lost": len(self.lost), "gained": len(self.gained)}


def compare(
    scores: pd.DataFrame, baseline: pd.DataFrame, *, alpha: float, allowed_drop: float
) -> list[Comparison]:
    """
    Compare two runs, scorer by scorer, on the cases that both have with the same truth.

    :param alpha: Probability, over all scorers together, of a verdict by chance; each scorer has its part.
    :param allowed_drop: Share by which a score may fall.
    :raises ValueError: A scorer has no case in common.
    """
    both = baseline.merge(scores, on=["package", "scorer"], suffixes=("_baseline", "_candidate"))
    same_truth = both["expected_baseline"].fillna("") == both["expected_candidate"].fillna("")
    both = both[same_truth & both["score_baseline"].notna() & both["score_candidate"].notna()]
    if missing := sorted({*KINDS} - {*both["scorer"]}):
        raise ValueError(f"{', '.join(missing)}: no case is in both runs. Is the baseline of another set?")
    return [
        _compare_scorer(cases, str(scorer), alpha=alpha / len(KINDS), allowed_drop=allowed_drop)
        for scorer, cases in both.groupby("scorer", sort=False)
    ]


def _compare_scorer(cases: pd.DataFrame, scorer: str, *, alpha: float, allowed_drop: float) -> Comparison:
    from statsmodels.stats.contingency_tables import mcnemar

    before, after = (cases[f"score_{run}"].to_numpy() for run in ("baseline", "candidate"))
    low, high = _interval(before, after, level=1 - alpha)
    passed, passes = (cases[f"passed_{run}"].astype(bool) for run in ("baseline", "candidate"))
    lost, gained = cases[passed & ~passes], cases[~passed & passes]
    p_value = float(mcnemar([[0, len(lost)], [len(gained), 0]], exact=True).pvalue)
    # Of few cases the interval is too narrow: the flips must say the same. A grade can move without a flip.
    is_sure = KINDS[scorer] == "judge" or p_value < alpha
    return Comparison(
        scorer=scorer,
        kind=KINDS[scorer],
        cases=len(cases),
        baseline=float(before.mean()),
        candidate=float(after.mean()),
        low=low,
        high=high,
        allowed_drop=allowed_drop,
        p_value=p_value,
        lost=_flips(lost),
        gained=_flips(gained),
        verdict=_verdict(low, high, allowed_drop=allowed_drop, is_sure=is_sure),
    )


def _interval(before: np.ndarray, after: np.ndarray, *, level: float) -> tuple[float, float]:
    """Return the bootstrap interval of the mean difference, whose cases are drawn in pairs."""
    import numpy as np
    from scipy.stats import bootstrap

    interval = bootstrap(
        (after, before),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        paired=True,
        n_resamples=RESAMPLES,
        confidence_level=level,
        # Of no difference at all the others make a warning and no interval.
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _verdict(low: float, high: float, *, allowed_drop: float, is_sure: bool) -> str:
    if low == high == 0:
        return "no change"
    if is_sure and high < -allowed_drop:
        return "worse"
    return "better" if is_sure and low > 0 else "within the noise"


def _flips(cases: pd.DataFrame) -> list[dict[str, str | None]]:
    wanted = ["package", "expected_candidate", "answer_baseline", "answer_candidate"]
    found = cases[wanted].set_axis(["package", "expected", "baseline", "candidate"], axis=1).astype(object)
    return found.where(found.notna(), None).to_dict("records")


def to_json(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons with all flips."""
    return json.dumps([asdict(each) for each in comparisons], indent=1, ensure_ascii=False)


def to_message(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """
    Say which scorers are worse and by how much, or return an empty text. No text of a row is in it.

    :param comparisons: Their summaries.
    """
    return "; ".join(
        f"{each['scorer']} fell from {each['baseline']:.1%} to {each['candidate']:.1%} of {each['cases']} "
        f"cases (interval {each['low']:+.1%} to {each['high']:+.1%}, allowed {-each['allowed_drop']:+.1%}; "
        f"McNemar p = {each['p_value']:.2g}; {each['lost']} lost, {each['gained']} gained)"
        for each in comparisons
        if each["verdict"] == "worse"
    )


def to_report(scores: pd.DataFrame, comparisons: Sequence[Comparison], *, about: Mapping[str, object]) -> str:
    """
    Return one HTML page that needs nothing beside it.

    :param about: What was evaluated, by name.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    means = {each.scorer: each.candidate for each in comparisons}
    means = means or scores.groupby("scorer", sort=False)["score"].mean().to_dict()
    page = Environment(autoescape=True).from_string(_PAGE)
    # The only markup that is not escaped; matplotlib escapes what it draws.
    chart = Markup(draw(means, comparisons))  # noqa: S704
    return page.render(about=about, comparisons=comparisons, means=means, kinds=KINDS, chart=chart)


def draw(means: Mapping[str, float], comparisons: Sequence[Comparison]) -> str:
    """
    Return the chart as SVG: the scores and, against a baseline, the differences with their intervals.

    :param means: Mean score by scorer.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    scorers = list(means)
    figure = Figure(figsize=(10, 1 + 0.5 * len(scorers)), layout="constrained")
    left, *right = figure.subplots(1, 2 if comparisons else 1, sharey=True, squeeze=False)[0]
    left.barh(scorers, list(means.values()), height=0.5, color="#d97757", label="candidate")
    left.set(xlim=(0, 1.02), title="Score")
    left.invert_yaxis()
    for axes in right:
        left.plot([each.baseline for each in comparisons], scorers, "|k", ms=18, mew=2, label="baseline")
        figure.legend(loc="outside lower center", ncols=2)
        axes.hlines(scorers, [each.low for each in comparisons], [each.high for each in comparisons], "k")
        axes.plot([each.candidate - each.baseline for each in comparisons], scorers, "o", color="#d97757")
        axes.axvline(0, color="grey")
        axes.axvline(-comparisons[0].allowed_drop, color="red", linestyle="dashed")
        axes.set(title="Difference, and the allowed drop")
    drawn = io.StringIO()
    # Text stays text, and the same scores make the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "evaluate_labels"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]


_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>evaluate_labels</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } svg { max-width: 100%; height: auto }
th, td { border-bottom: 1px solid #ddd; padding: .2rem .7rem; text-align: left; vertical-align: top }
.worse { color: #b00 } .better { color: #070 } pre { white-space: pre-wrap; margin: 0 }
</style>
<h1>evaluate_labels</h1>
<table>{% for name, value in about.items() %}
<tr><th>{{ name }}<td><pre>{{ value }}</pre></tr>{% endfor %}</table>
{{ chart }}
{% if comparisons %}
<table><tr><th>Scorer<th>Kind<th>Cases<th>Baseline<th>Candidate<th>Interval of the difference<th>McNemar
<th>Verdict</tr>
{% for each in comparisons %}
<tr class="{{ each.verdict }}"><td>{{ each.scorer }}<td>{{ each.kind }}<td>{{ each.cases }}
<td>{{ "%.1f %%" % (100 * each.baseline) }}<td>{{ "%.1f %%" % (100 * each.candidate) }}
<td>{{ "%+.1f to %+.1f points" % (100 * each.low, 100 * each.high) }}
<td>p = {{ "%.2g" % each.p_value }}<td>{{ each.verdict }}</tr>
{% endfor %}</table>
{% else %}
<p>This run is the baseline of those that name its folder.</p>
<table><tr><th>Scorer<th>Kind<th>Score</tr>
{% for scorer, mean in means.items() %}
<tr><td>{{ scorer }}<td>{{ kinds[scorer] }}<td>{{ "%.1f %%" % (100 * mean) }}</tr>
{% endfor %}</table>
{% endif %}
{% for each in comparisons %}
{% for title, flips in [("fail that passed", each.lost), ("pass that failed", each.gained)] if flips %}
<h2>{{ each.scorer }}: {{ flips | length }} {{ title }}</h2>
<table><tr><th>Case<th>Expected<th>Baseline<th>Candidate</tr>
{% for flip in flips %}
<tr>{% for text in flip.values() %}<td>{{ text or "" }}{% endfor %}</tr>
{% endfor %}</table>
{% endfor %}
{% endfor %}
</html>
"""
