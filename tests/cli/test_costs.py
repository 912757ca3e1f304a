import datetime as dt
import json

import pytest

from airflow_provider_claude_batch.cli.main import main
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.receipt import write_receipt
from airflow_provider_claude_batch.submission.storage import Folder
from tests.receipts import receipt

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def published(staging):
    def write(*receipts):
        for each in receipts:
            folder = ManifestFolder.at(str(staging / each.dag_id / each.identity))
            write_receipt(folder, each, staging_root=str(staging))

    return write


def costs(capsys, *arguments):
    code = main(["costs", *map(str, arguments)])
    return code, capsys.readouterr()


def cells(line):
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_line_a_group_and_their_sum(published, staging, capsys):
    published(
        receipt("a", now=NOW, cost_usd="3.5"),
        receipt("b", now=NOW, cost_usd="2", days_ago=31),
        receipt("c", now=NOW, dag_id="translate", cost_usd="40"),
    )
    code, told = costs(capsys, staging)
    assert code == 0
    heading, first, second, total = map(cells, told.out.splitlines())
    assert heading[:5] == ["DAG", "MODEL", "SUBMISSIONS", "ROWS", "FAILED"]
    assert heading[5:] == ["TOKENS IN", "CACHED", "OUT", "COST", "PER 1,000 ROWS", "BEFORE", "CHANGE"]
    assert first[:5] == ["translate", "claude-haiku-5-5", "1", "100", "2.0 %"]
    assert first[5:] == ["20 k", "45 %", "2.0 k", "$40.00", "$400.00", "$0.00", "new"]
    assert second[-4:] == ["$3.50", "$35.00", "$2.00", "+75 %"]
    assert total[0] == "total"
    assert total[-4:] == ["$43.50", "$217.50", "$2.00", "+2075 %"]


def test_days_are_told_apart_without_a_time_before(published, staging, capsys):
    published(receipt("a", now=NOW), receipt("b", now=NOW, days_ago=1))
    _, told = costs(capsys, staging, "--by", "day,dag")
    heading, *lines, _ = map(cells, told.out.splitlines())
    assert heading[:2] == ["DAY", "DAG"]
    assert "BEFORE" not in heading
    assert [line[0] for line in lines] == [f"{NOW - dt.timedelta(days=days):%Y-%m-%d}" for days in (0, 1)]


def test_one_day_is_today(published, staging, capsys):
    published(receipt("a", now=NOW, cost_usd="1"), receipt("b", now=NOW, days_ago=1, cost_usd="4"))
    _, told = costs(capsys, staging, "--since", 1)
    assert cells(told.out.splitlines()[1])[-4:] == ["$1.00", "$10.00", "$4.00", "-75 %"]


def test_a_program_gets_every_digit(published, staging, capsys):
    published(receipt("a", now=NOW, cost_usd="0.000000123456"))
    _, told = costs(capsys, staging, "--json")
    found = json.loads(told.out)
    assert found["total"]["cost_usd"] == "1.23456E-7"
    assert found["lines"][0]["by"] == {"dag": "label", "model": "claude-haiku-5-5"}


def test_a_cost_that_is_not_known_is_shown_as_such(published, staging, capsys):
    published(receipt("a", now=NOW, cost_usd="1"), receipt("b", now=NOW, cost_usd=None))
    _, told = costs(capsys, staging)
    assert "$1.00 + ?" in told.out


def test_a_receipt_that_cannot_be_read_is_named_and_does_not_hide_the_rest(published, staging, capsys):
    published(receipt("a", now=NOW))
    Folder.at(str(staging)).write(f"_receipts/day={NOW:%Y-%m-%d}/x.json", b"{")
    code, told = costs(capsys, staging)
    assert code == 1
    assert "x.json" in told.err
    assert "label" in told.out


def test_no_receipts_are_said(staging, capsys):
    code, told = costs(capsys, staging)
    assert code == 0
    assert told.out.startswith(f"There are no receipts under {staging}")


@pytest.mark.parametrize("arguments", [["--by", "dag,colour"], ["--by", ""], ["--since", "0"]])
def test_arguments_that_make_no_sense_are_one_line(staging, capsys, arguments):
    code, told = costs(capsys, staging, *arguments)
    assert code == 1
    assert len(told.err.splitlines()) == 1
