"""Writes that are killed, and writes at the same time: each key once, the last answer wins."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.warehouse.datasets import publish, write

ROWS = 1000


def topics(warehouse):
    return [
        tuple(row) for row in warehouse("select topic, count(*), count(distinct id) from labels group by 1")
    ]


def kill_in_the_middle(moment, dataset):
    """Write in a process of its own, which is killed."""
    (file,) = dataset["files"]
    command = [sys.executable, "-m", "tests.warehouse.killed_write", moment, file, str(dataset["rows"])]
    ended = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.parametrize(
    ("warehouse", "moment"),
    [
        ("psycopg", "half of the rows are staged"),
        ("psycopg", "the old rows are changed"),
        ("duckdb", "the old rows are changed"),
        ("duckdb", "all but the commit"),
        ("sqlite", "half of the rows are staged"),
        ("sqlite", "all but the commit"),
    ],
    indirect=["warehouse"],
)
def test_a_write_that_is_killed_changes_nothing_and_can_be_done_again(warehouse, moment, tmp_path):
    write(publish(tmp_path / "a.parquet", range(ROWS), topic="fruit"))
    second = publish(tmp_path / "b.parquet", range(ROWS // 2, ROWS * 2), topic="metal", run="b")
    kill_in_the_middle(moment, second)
    assert topics(warehouse) == [("fruit", ROWS, ROWS)]
    write(second)
    assert sorted(topics(warehouse)) == [
        ("fruit", ROWS // 2, ROWS // 2),
        ("metal", ROWS * 3 // 2, ROWS * 3 // 2),
    ]


@pytest.mark.parametrize("warehouse", ["psycopg", "psycopg2", "sqlite"], indirect=True)
@pytest.mark.parametrize("has_constraint", [True, False])
def test_writes_of_the_same_keys_at_the_same_time_leave_each_key_once(warehouse, tmp_path, has_constraint):
    if not has_constraint:
        warehouse("create table labels (id int, topic varchar(9), claude_custom_id varchar(40))")
    runs = [publish(tmp_path / f"{i}.parquet", range(ROWS), topic=f"topic{i}", run=str(i)) for i in range(4)]
    with ThreadPoolExecutor(len(runs)) as pool:
        assert [done["rows"] for done in pool.map(write, runs)] == [ROWS] * 4
    ((topic, rows, keys),) = topics(warehouse)
    assert (rows, keys) == (ROWS, ROWS)
    assert topic in {f"topic{i}" for i in range(4)}
