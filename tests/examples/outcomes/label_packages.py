"""Every installed package has one label."""

from demo import report
from demo.topics import TOPICS


def conf(folder):
    return {"destination": str(folder / "labels")}


def check(folder, query):
    labels = report.read_labels(folder / "labels")
    keys = [key for (key,) in query("select distribution_id from packages order by 1")]
    assert labels["distribution_id"].to_pylist() == keys
    assert set(labels["topic"].to_pylist()) <= TOPICS
    assert report.outcomes(labels) == {"ok": len(keys)}
