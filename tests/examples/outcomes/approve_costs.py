"""What a person has approved is there."""

import pyarrow.parquet as pq

ANSWERS = {"notes.approve": {"chosen_options": ["Approve"]}}


def conf(folder):
    return {"destination": str(folder / "notes")}


def check(folder, query):
    notes = pq.read_table(folder / "notes" / "data.parquet")
    keys = [key for (key,) in query("select distribution_id from packages order by 1")]
    assert sorted(notes["distribution_id"].to_pylist()) == keys
    assert [str(notes.schema.field(name).type) for name in ("purpose", "uses_network", "native_code")] == [
        "string",
        "bool",
        "bool",
    ]
    assert set(notes["claude_outcome"].to_pylist()) == {"ok"}
