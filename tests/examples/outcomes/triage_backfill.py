"""Each ticket has one of the labels that the form gave."""

import pyarrow.parquet as pq

ANSWERS = {"triage.approve": {"chosen_options": ["Approve"]}}

AREAS = ["files", "network", "text", "other"]


def conf(folder):
    return {"taxonomy": AREAS, "limit": 40, "destination": str(folder / "triage")}


def check(folder, query):
    triage = pq.read_table(folder / "triage" / "data.parquet")
    tickets = query("select object_name, module, kind from docstrings order by md5(object_name) limit 40")
    rows = triage.select(["object_name", "module", "kind"]).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == sorted(tickets)
    areas = set(triage["area"].to_pylist())
    assert areas <= set(AREAS)
    assert len(areas) > 1
    assert set(triage["urgency"].to_pylist()) <= {"now", "soon", "later"}
    assert set(triage["claude_outcome"].to_pylist()) == {"ok"}
