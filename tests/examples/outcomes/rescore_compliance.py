"""Every package has a label with where it comes from, and its raw answer is in the archive."""

import pyarrow.parquet as pq

ANSWERS = {"review": {"chosen_options": ["Approve"]}}

RULES = {
    "2026.1": {"none", "secrets", "code execution", "network server", "cloud service"},
    "2026.2": {"none", "secrets", "code execution", "telemetry", "cloud service"},
}

TYPES = {
    **dict.fromkeys(["name", "version", "breach", "why", "policy"], "VARCHAR"),
    **dict.fromkeys(["model", "batch_id", "custom_id", "run_id"], "VARCHAR"),
    "scored_at": "TIMESTAMP WITH TIME ZONE",
}


def conf(folder):
    return {"policy": "2026.1", "archive": str(folder / "archive")}


def check(folder, query, policy="2026.1"):
    packages = query("select name, version from packages order by 1")
    assert query("select name, version from compliance_labels order by 1") == packages
    assert {name: kind for name, kind, *_ in query("describe compliance_labels")} == TYPES
    assert query("select distinct policy from compliance_labels") == [(policy,)]
    labels = {label for (label,) in query("select distinct breach from compliance_labels")}
    assert {"none"} < labels <= RULES[policy]
    (run,) = (folder / "archive" / f"policy={policy}").iterdir()
    answers = pq.read_table(run / "answers" / "data.parquet")
    archived = answers.select(["name", "breach", "claude_batch_id", "claude_custom_id"]).to_pylist()
    held = query("select name, breach, batch_id, custom_id from compliance_labels order by 1")
    assert sorted(tuple(row.values()) for row in archived) == held
    assert all("text" in content for content in answers["claude_content"].to_pylist())
    assert (run / "flips.html").exists()
