"""
Labels with where they come from, what flips between two policies, and the page of it: `rescore_compliance`.

Values in, values out; imports nothing of Airflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

#: The label of a package that breaks no rule.
CLEAR = "none"

#: Columns of the table, each by the name that it has among the answers.
COLUMNS = {
    "name": "name",
    "version": "version",
    "breach": "breach",
    "why": "why",
    "policy": "policy",
    "claude_model": "model",
    "claude_batch_id": "batch_id",
    "claude_custom_id": "custom_id",
    "run_id": "run_id",
    "scored_at": "scored_at",
}

_TABLE = "select 1 from information_schema.tables where table_name = 'compliance_labels'"

_LABELS = "select name, breach, policy, custom_id from compliance_labels"


_FLIP = ["name", "kind", "breach_before", "breach", "policy_before", "policy", "why", "custom_id"]


class Warehouse(Protocol):
    """A hook that runs SQL."""

    def get_records(self, sql: str) -> list[tuple[object, ...]]:
        """Return the rows of a query."""


def labels_before(warehouse: Warehouse) -> pd.DataFrame:
    """Return the labels that the table holds; none where there is no table, as before the first run."""
    import pandas as pd

    rows = warehouse.get_records(_LABELS) if warehouse.get_records(_TABLE) else []
    return pd.DataFrame(rows, columns=["name", "breach", "policy", "custom_id"], dtype="str")


def to_labels(answers: pd.DataFrame, *, policy: str, run_id: str, scored_at: pd.Series[Any]) -> pd.DataFrame:
    """
    Return the table's row of each answer; where there is no usable one, ``breach`` is null.

    :param scored_at: Time of each answer, with a zone. Not of the clock: the same answer has the same time.
    """
    import pandas as pd

    labels = answers.assign(policy=policy, run_id=run_id, scored_at=pd.to_datetime(scored_at, utc=True))
    labels = labels[[*COLUMNS]].rename(columns=COLUMNS).astype({"breach": "str"})
    return labels.sort_values("name", ignore_index=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    Labels before and after.

    :param policy: Under which was scored.
    :param new: Rows with a usable answer that the table does not hold yet.
    :param flips: Of each key whose label changes its ``kind``, and the label and policy before and after.
    :param confusion: How many keys have which label before (rows) and after (columns).
    :param added: Keys that the table does not hold.
    :param unanswered: Keys without a usable answer, which keep the label that they have.
    """

    policy: str
    new: pd.DataFrame
    flips: pd.DataFrame
    confusion: pd.DataFrame
    added: int
    unanswered: int

    def summary(self) -> dict[str, Any]:
        """Return the numbers, and a Markdown text of them; no text of a row is in it."""
        kinds = {str(kind): int(count) for kind, count in self.flips["kind"].value_counts().items()}
        rows = [["before / after", *self.confusion.columns]]
        rows += [["---"] * len(rows[0])]
        rows += [[str(before), *map(str, counts)] for before, *counts in self.confusion.itertuples()]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"
        text = (
            f"**{len(self.flips)} labels flip** ({told}); {self.added} packages are new, {self.unanswered} "
            f"have no usable answer and keep their label.\n\n{table}"
        )
        return {
            "flips": len(self.flips),
            "kinds": kinds,
            "added": self.added,
            "unanswered": self.unanswered,
            "text": text,
        }


def compare(before: pd.DataFrame, labels: pd.DataFrame) -> Comparison:
    """
    Set labels against those that the table holds, by key.

    :param before: As :func:`labels_before` returns it.
    :param labels: As :func:`to_labels` does.
    """
    import pandas as pd

    answered = labels[labels["breach"].notna()]
    both = before.merge(answered, on="name", suffixes=("_before", ""))
    old, new = both["breach_before"], both["breach"]
    kind = pd.Series("another rule", index=both.index).mask(old == CLEAR, "newly flagged")
    flips = both.assign(kind=kind.mask(new == CLEAR, "newly cleared"))[old != new]
    is_held = (both["custom_id"] == both["custom_id_before"]) & (both["policy"] == both["policy_before"])
    return Comparison(
        policy=str(labels["policy"].iloc[0]),
        new=answered[~answered["name"].isin(both["name"][is_held])],
        flips=flips[_FLIP].sort_values(["kind", "name"]),
        confusion=pd.crosstab(old, new),
        added=int((~answered["name"].isin(before["name"])).sum()),
        unanswered=len(labels) - len(answered),
    )


def to_page(comparison: Comparison) -> str:
    """Return one HTML page that needs nothing beside it."""
    from jinja2 import Environment

    page = Environment(autoescape=True).from_string(_PAGE)
    return page.render(of=comparison, flips=comparison.flips.to_dict("records"))


_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>rescore_compliance</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { border-bottom: 1px solid #ddd; padding: .2rem .7rem; text-align: left; vertical-align: top }
td.n { text-align: right } td.same { color: #777 }
</style>
<h1>Policy {{ of.policy }}: {{ flips | length }} labels flip</h1>
<p>{{ of.added }} packages are new, {{ of.unanswered }} have no usable answer and keep their label.</p>
<table><tr><th>before, and after{% for after in of.confusion.columns %}<th>{{ after }}{% endfor %}</tr>
{% for before, counts in of.confusion.iterrows() %}
<tr><th>{{ before }}{% for after, count in counts.items() %}
<td class="n{{ ' same' if before == after or not count }}">{{ count }}{% endfor %}</tr>
{% endfor %}</table>
<table><tr><th>Package<th>Flip<th>Before<th>After<th>Why</tr>
{% for flip in flips %}
<tr><td>{{ flip.name }}<td>{{ flip.kind }}<td>{{ flip.breach_before }} ({{ flip.policy_before }})
<td>{{ flip.breach }}<td>{{ flip.why }}</tr>
{% endfor %}</table>
</html>
"""
