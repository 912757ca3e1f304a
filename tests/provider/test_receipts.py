import dataclasses
import datetime as dt
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from airflow_provider_claude_batch.core.manifest import to_json
from airflow_provider_claude_batch.core.receipts_to_arrow import RECEIPTS_SCHEMA
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.receipt import write_receipt
from airflow_provider_claude_batch.submission.receipts import receipts_table, usual_output
from airflow_provider_claude_batch.submission.storage import Folder
from tests.receipts import NOON, receipt

DOCUMENT = Path(__file__).parents[2] / "docs" / "costs.md"
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def written(tmp_path):
    """Return a function that writes receipts as loads do, and the staging root."""

    def write(*receipts):
        for each in receipts:
            folder = ManifestFolder.at(str(tmp_path / each.dag_id / each.identity))
            write_receipt(folder, each, staging_root=str(tmp_path))
        return str(tmp_path)

    return write


def test_all_receipts_are_one_table(written):
    root = written(receipt("a"), receipt("b", days_ago=3), receipt("c", days_ago=40))
    assert receipts_table(root).column("identity").to_pylist() == ["c", "b", "a"]


def test_a_day_to_begin_with_can_be_given(written):
    root = written(receipt("a"), receipt("b", days_ago=3))
    assert receipts_table(root, dt.date(2026, 11, 20)).column("identity").to_pylist() == ["a"]


def test_pandas_reads_the_table(written):
    frame = receipts_table(written(receipt("a"), receipt("b", dag_id="translate"))).to_pandas()
    assert frame.groupby("dag_id")["cost_usd"].sum().to_dict() == {
        "label": Decimal("0.01"),
        "translate": Decimal("0.01"),
    }


def test_duckdb_reads_the_table(written):
    receipts = receipts_table(written(receipt("a"), receipt("b", days_ago=1)))
    with duckdb.connect() as connection:
        connection.register("receipts", receipts)
        found = connection.sql("select day, sum(cost_usd) from receipts group by day order by day").fetchall()
    assert found == [(dt.date(2026, 11, 21), Decimal("0.01")), (dt.date(2026, 11, 22), Decimal("0.01"))]


def test_where_nothing_was_published_the_table_is_empty(tmp_path):
    assert receipts_table(str(tmp_path)).num_rows == 0


def test_a_receipt_from_before_costs_were_on_it_is_read(written):
    lines = to_json(receipt("a", days_ago=21)).splitlines()
    old = b"\n".join(line for line in lines if b"usd" not in line and b"rounds" not in line)
    root = written(receipt("b"))
    Folder.at(root).write("_receipts/day=2026-11-01/a.json", old)
    assert receipts_table(root).column("cost_usd").to_pylist() == [None, Decimal("0.01")]


def test_a_receipt_that_cannot_be_read_is_named(written):
    root = written(receipt("a"))
    Folder.at(root).write("_receipts/day=2026-11-01/x.json", b"{")
    with pytest.raises(ManifestUnreadableError, match=r"day=2026-11-01/x\.json"):
        receipts_table(root)


def test_what_is_no_day_and_no_receipt_is_passed_over(written):
    root = written(receipt("a"))
    Folder.at(root).write("_receipts/README", b"")
    Folder.at(root).write("_receipts/day=2026-11-22/_SUCCESS", b"")
    assert receipts_table(root).num_rows == 1


def test_earlier_runs_of_the_dag_with_the_model_say_what_answers_are_like(submission, written):
    root = written(
        receipt("a", tokens={"output": 1_000}),
        receipt("b", tokens={"output": 3_000}, days_ago=5),
        receipt("c", tokens={"output": 90_000}, model="claude-opus-5-5"),
        receipt("d", tokens={"output": 90_000}, dag_id="translate"),
        receipt("e", tokens={"output": 90_000}, days_ago=40),
    )
    submission.snapshot()
    plan = dataclasses.replace(require_plan(submission.folder)[0], staging_root=root)
    tokens = usual_output(plan, dag_id="label", now=NOON).tokens
    assert (tokens.low, tokens.mid, tokens.high) == (9, 20, 33)


def test_rows_that_were_not_asked_say_nothing_of_what_answers_are_like(submission, written):
    root = written(
        receipt("a", rows=100, tokens={"output": 1_000}),
        receipt("b", rows=100, tokens={"output": 500}, reused_rows=30, outcomes={"ok": 80, "rejected": 20}),
        receipt("c", rows=100, tokens={"output": 0}, reused_rows=100),
    )
    submission.snapshot()
    plan = dataclasses.replace(require_plan(submission.folder)[0], staging_root=root)
    tokens = usual_output(plan, dag_id="label", now=NOON).tokens
    assert (tokens.low, tokens.mid, tokens.high) == (9, 10, 11)


def test_answers_are_as_long_as_those_whose_tokens_a_receipt_has(submission, written):
    root = written(
        receipt("a", rows=30, tokens={"output": 300}, reused_rows=20, billed_rows=30),
        receipt("b", rows=10, tokens={"output": 0}, outcomes={"errored": 10}, billed_rows=0),
        receipt("c", rows=40, tokens={"output": 100}, reused_rows=30, billed_rows=10),
    )
    submission.snapshot()
    plan = dataclasses.replace(require_plan(submission.folder)[0], staging_root=root)
    tokens = usual_output(plan, dag_id="label", now=NOON).tokens
    assert (tokens.low, tokens.mid, tokens.high) == (9, 10, 11)


def test_without_earlier_runs_nothing_is_known(submission, tmp_path):
    submission.snapshot()
    plan = dataclasses.replace(require_plan(submission.folder)[0], staging_root=str(tmp_path))
    assert usual_output(plan, dag_id="label", now=NOON) is None


def test_the_page_s_code_runs(written):
    root = written(receipt("a", days_ago=2), receipt("b"))
    (code,) = [block for block in _BLOCK.findall(DOCUMENT.read_text()) if "receipts_table" in block]
    code = code.replace("/data/claude_batch", root) + "print(by_dag.to_dict(), by_day)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    last_line = run.stdout.splitlines()[-1]
    assert last_line.startswith("{'label': Decimal('0.020000000000')} [(datetime.date(2026, 11, 20), ")


def test_the_page_names_every_column():
    table = DOCUMENT.read_text().partition("| column | type |")[2].partition("\n\n")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert named == RECEIPTS_SCHEMA.names
