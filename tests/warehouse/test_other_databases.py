"""The path of databases that have none of their own, on two that know the standard's merge."""

import pytest

from airflow_provider_claude_batch.core.sql_dialect import other_dialect
from airflow_provider_claude_batch.warehouse.selected_rows import SelectedRows
from airflow_provider_claude_batch.warehouse.session import open_session
from airflow_provider_claude_batch.warehouse.write import dialect_of, write_rows
from tests.warehouse.datasets import publish

STANDARD = other_dialect("other", quotes=('"', '"'), reserved=frozenset({"order"}))
COLUMNS = {"id": "order", "topic": "topic", "price": "price"}

pytestmark = pytest.mark.parametrize("warehouse", ["psycopg", "psycopg2", "duckdb"], indirect=True)


def write_by_the_standard(tmp_path, ids, *, topic, mode="upsert"):
    publish(tmp_path / "a.parquet", ids, topic=topic, price=[1.5] * len(ids))
    rows = SelectedRows(paths=[tmp_path / "a.parquet"], columns=COLUMNS, outcomes=("ok",), chunk_rows=7)
    with open_session("warehouse") as session:
        return write_rows(
            session,
            rows,
            table="labels",
            mode=mode,
            match=[] if mode == "replace" else ["order"],
            create_table=True,
            staging_name="staged_labels",
            dialect=STANDARD,
        )


def labels(warehouse):
    return [tuple(row) for row in warehouse('select "order", topic from labels order by 1')]


def test_rows_are_merged_by_key(warehouse, tmp_path):
    write_by_the_standard(tmp_path, range(0, 20), topic="fruit")
    for _ in range(2):
        assert write_by_the_standard(tmp_path, range(10, 30), topic="metal").rows == 20
    assert labels(warehouse) == [(i, "fruit" if i < 10 else "metal") for i in range(30)]
    write_by_the_standard(tmp_path, range(3), topic="wood", mode="replace")
    assert labels(warehouse) == [(i, "wood") for i in range(3)]


def test_what_a_killed_try_has_staged_is_not_written(warehouse, tmp_path):
    write_by_the_standard(tmp_path, range(3), topic="fruit")
    warehouse("create table staged_labels as select * from labels")
    write_by_the_standard(tmp_path, range(1, 2), topic="metal")
    assert labels(warehouse) == [(0, "fruit"), (1, "metal"), (2, "fruit")]
    with pytest.raises(Exception, match="staged_labels"):
        warehouse("select * from staged_labels")


def test_a_hook_without_a_path_of_its_own_says_its_quotes_and_reserved_words(warehouse):
    with open_session("warehouse") as session:
        session.driver = "another"
        assert dialect_of(session).upsert == "merge"
        assert dialect_of(session).quoted("a b") == '"a b"'
