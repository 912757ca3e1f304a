"""Every dollar that was billed is on one receipt, also where nothing was published for it."""

from decimal import Decimal

import pytest

from airflow_provider_claude_batch.core.costs import latest_receipts
from airflow_provider_claude_batch.errors import QualityGateError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.receipts import read_receipts, receipts_table
from airflow_provider_claude_batch.submission.storage import Folder
from tests.provider.dag_runs import metadata_database, run_dag
from tests.provider.submitting import change, successor

__all__ = ["metadata_database", "run_dag"]


def told(tmp_path, staging="runs"):
    """Return what the receipts tell of the account, in the words of its bill, and the receipts."""
    receipts = latest_receipts(read_receipts(Folder.at(str(tmp_path / staging))))
    sums = {
        "cost_usd": sum((Decimal(receipt.cost_usd) for receipt in receipts), Decimal(0)),
        "input_tokens": sum(receipt.tokens.get("input", 0) for receipt in receipts),
        "output_tokens": sum(receipt.tokens.get("output", 0) for receipt in receipts),
    }
    return sums, {receipt.identity[0]: receipt for receipt in receipts}


def billed(emulator):
    total = emulator.bill["total"]
    return {name: total[name] for name in ("input_tokens", "output_tokens")} | {
        "cost_usd": Decimal(str(total["cost_usd"]))
    }


def test_answers_taken_from_a_run_that_was_never_published_are_told_once(run, emulator, table, tmp_path):
    run("a n~C3~B6te", identity="a" * 16, publishes=False)
    for run_id in ["b", "c"]:
        change(
            table,
            "update items set body = 'a pear' where id = (select min(id) from items where body != 'a pear')",
        )
        run(run_id, identity=run_id * 16)
        sums, by_name = told(tmp_path)
        assert sums == billed(emulator)
    assert by_name["a"].run_id == "a nöte"
    assert by_name["a"].files == []
    assert by_name["a"].outcomes == {"ok": 5}
    assert (by_name["b"].reused_rows, by_name["b"].billed_rows) == (4, 1)
    assert len(by_name) == 3


def test_a_run_that_is_published_after_its_answers_were_taken_is_told_once(run, emulator, tmp_path):
    first = run("one", identity="a" * 16, publishes=False)
    run("two", identity="b" * 16)
    first.publish()
    sums, by_name = told(tmp_path)
    assert sums == billed(emulator)
    assert by_name["a"].files
    assert receipts_table(str(tmp_path / "runs")).num_rows == 2


def test_what_the_gate_refuses_is_told_and_its_dollars_stay_told_once(run, emulator, table, tmp_path):
    emulator.fail("lines", with_="max_tokens", count=2)
    emulator.fail("lines", with_="refusal", count=2)
    with pytest.raises(QualityGateError):
        run("one", identity="a" * 16, checks=lambda table: False)
    sums, by_name = told(tmp_path)
    assert sums == billed(emulator)
    assert by_name["a"].outcomes == {"ok": 3, "refused": 2}
    assert by_name["a"].billed_rows == 5
    run("two", identity="b" * 16)
    sums, by_name = told(tmp_path)
    assert sums == billed(emulator)
    assert by_name["b"].reused_rows == 3


def test_the_gate_says_what_asks_the_rows_again_that_have_no_answer(run, emulator):
    emulator.fail("lines", with_="expired", share=0.5, times=None)
    with pytest.raises(
        QualityGateError, match=r"A clear of the task that took the snapshot asks \d of the rows"
    ):
        run("one", identity="a" * 16, checks=lambda table: False)


def test_the_gate_names_no_clear_where_every_answer_was_billed(run, emulator):
    emulator.fail("lines", with_="refusal", count=2)
    with pytest.raises(QualityGateError) as caught:
        run("one", identity="a" * 16, checks=lambda table: False)
    assert "clear" not in str(caught.value)


def test_what_a_later_generation_does_not_take_is_told_beside_it(submission, emulator, table, tmp_path):
    root = tmp_path / "runs"
    emulator.settings(seconds_per_batch=0)
    emulator.fail("lines", with_="refusal", count=1)
    submission.folder = type(submission.folder).at(f"{root}/labels/night/submit/g00")
    submission.snapshot(staging_root=str(root))
    submission.send()
    submission.finish()
    change(table, "update items set body = 'a pear' where id = 3")
    second = successor(submission, staging_root=str(root))
    second.send()
    second.finish()
    with pytest.raises(QualityGateError):
        second.publish(checks=lambda table: False)
    assert told(tmp_path)[0] == billed(emulator)
    second.publish()
    sums, _ = told(tmp_path)
    assert sums == billed(emulator)
    receipts = latest_receipts(read_receipts(Folder.at(str(root))))
    assert {(receipt.rows, receipt.billed_rows) for receipt in receipts} == {(1, 1), (5, 5)}


def test_a_later_generation_that_takes_all_that_the_gate_has_stopped_tells_it_alone(
    submission, emulator, tmp_path
):
    root = tmp_path / "runs"
    emulator.settings(seconds_per_batch=0)
    submission.folder = type(submission.folder).at(f"{root}/labels/night/submit/g00")
    submission.snapshot(staging_root=str(root))
    submission.send()
    submission.finish()
    with pytest.raises(QualityGateError):
        submission.publish(checks=lambda table: False)
    assert told(tmp_path)[0] == billed(emulator)
    second = successor(submission, staging_root=str(root))
    second.send()
    second.finish()
    second.publish()
    assert told(tmp_path)[0] == billed(emulator)
    (receipt,) = latest_receipts(read_receipts(Folder.at(str(root))))
    assert (receipt.rows, receipt.reused_rows, receipt.billed_rows) == (5, 5, 5)


def test_a_pilot_that_fails_is_told(run_dag, emulator, tmp_path):
    emulator.settings(seconds_per_batch=1)
    emulator.fail("lines", with_="invalid-output", count=2)
    assert run_dag("made_rows.py", "bad_pilot") == {"pilot": "failed"}
    sums, by_name = told(tmp_path, "staging")
    assert sums == billed(emulator)
    (receipt,) = by_name.values()
    assert receipt.outcomes == {"invalid_output": 2}
    assert (receipt.dag_id, receipt.task_id, receipt.files) == ("bad_pilot", "pilot", [])


@pytest.mark.parametrize("name", ["night", "a/b", "manual__2026-11-22T00:00:00+00:00", ".x", "~2F", "ü~"])
def test_a_name_is_read_back_from_its_segment(name):
    assert names.from_segment(names.safe_segment(name)) == name
