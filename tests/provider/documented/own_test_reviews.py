"""A user's own test of the Dag of the quickstart."""

# [START own_test_reviews]
import json
import runpy
from pathlib import Path

import pyarrow.parquet as pq
import pytest

HERE = Path(__file__).parent


@pytest.fixture
def emulator(claude_batch_emulator, monkeypatch, tmp_path):
    """Return the emulator, with both connections in place."""
    shop = {"conn_type": "sqlite", "host": str(tmp_path / "shop.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(shop))
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", claude_batch_emulator.connection_json)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(HERE / "make_shop.py"))
    return claude_batch_emulator


def test_a_review_that_failed_is_asked_again_and_paid_once(emulator):
    emulator.fail("lines", with_="errored", count=1, error_type="overloaded_error")
    run = runpy.run_path(str(HERE / "dags" / "reviews.py"))["reviews"].test()
    assert run.state == "success"
    rows = pq.read_table("labels").to_pylist()
    assert {row["claude_outcome"] for row in rows} == {"ok"}
    assert sorted(row["claude_rounds"] for row in rows) == [1, 1, 1, 1, 2]
    assert emulator.bill["total"]["cost_usd"] == sum(row["claude_cost_usd"] for row in rows)
    assert emulator.faults_left == 0


# [END own_test_reviews]
