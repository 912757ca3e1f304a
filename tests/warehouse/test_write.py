"""Every mode on every database, twice, and what must not change."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_claude_batch.errors import ClaudeBatchInputError, WarehouseError
from tests.warehouse.datasets import publish, write


def labels(warehouse):
    return [tuple(row) for row in warehouse("select id, topic from labels order by id, topic")]


def test_an_upsert_leaves_each_key_once_and_the_last_answer_wins(warehouse, tmp_path):
    first = publish(tmp_path / "a.parquet", range(0, 200), topic="fruit")
    second = publish(tmp_path / "b.parquet", range(100, 300), topic="metal", run="b")
    assert write(first) == {"table": "labels", "rows": 200, "mode": "upsert"}
    for _ in range(2):
        assert write(second, chunk_rows=7)["rows"] == 200
    assert labels(warehouse) == [(i, "fruit" if i < 100 else "metal") for i in range(300)]


def test_an_append_keeps_what_is_there_and_appends_no_row_twice(warehouse, tmp_path):
    first = publish(tmp_path / "a.parquet", range(3), topic="fruit")
    second = publish(tmp_path / "b.parquet", range(3), topic="metal", run="b")
    for dataset in (first, second, second, first):
        write(dataset, mode="append")
    assert labels(warehouse) == [(i, topic) for i in range(3) for topic in ("fruit", "metal")]


def test_an_answer_that_was_reused_for_another_row_is_appended_beside_the_first(warehouse, tmp_path):
    write(publish(tmp_path / "a.parquet", [1]), mode="append")
    reused = publish(tmp_path / "b.parquet", [2], run="a")
    table = pq.read_table(tmp_path / "b.parquet")
    position = table.column_names.index("claude_custom_id")
    pq.write_table(table.set_column(position, "claude_custom_id", pa.array(["a-1"])), tmp_path / "b.parquet")
    for _ in range(2):
        write(reused, mode="append")
    assert labels(warehouse) == [(1, "fruit"), (2, "fruit")]


def test_a_replace_leaves_nothing_else(warehouse, tmp_path):
    write(publish(tmp_path / "a.parquet", range(5)))
    second = publish(tmp_path / "b.parquet", range(3, 7), topic="metal")
    for _ in range(2):
        write(second, mode="replace")
    assert labels(warehouse) == [(i, "metal") for i in range(3, 7)]


def test_an_empty_dataset_makes_the_table_and_only_a_replace_empties_it(warehouse, tmp_path):
    empty = publish(tmp_path / "empty.parquet", [])
    assert write(empty)["rows"] == 0
    assert labels(warehouse) == []
    write(publish(tmp_path / "a.parquet", range(2)))
    for mode in ("upsert", "append"):
        write(empty, mode=mode)
    assert len(labels(warehouse)) == 2
    write(empty, mode="replace")
    assert labels(warehouse) == []


def test_a_row_that_failed_does_not_take_the_place_of_a_good_answer(warehouse, tmp_path):
    write(publish(tmp_path / "a.parquet", range(3)))
    second = publish(tmp_path / "b.parquet", range(3), topic="metal", outcomes=["ok", "errored", "refused"])
    assert write(second)["rows"] == 1
    assert labels(warehouse) == [(0, "metal"), (1, "fruit"), (2, "fruit")]
    assert write(second, outcomes=["ok", "refused"])["rows"] == 2
    assert labels(warehouse)[2] == (2, None)
    assert write(second, outcomes=None)["rows"] == 3


def test_an_upsert_needs_no_constraint_and_keeps_the_columns_that_it_does_not_write(warehouse, tmp_path):
    warehouse("create table labels (body varchar(9), label varchar(9), item int)")
    warehouse("insert into labels values ('one', null, 1), ('two', 'old', 2)")
    dataset = publish(tmp_path / "a.parquet", [2, 3])
    for _ in range(2):
        write(dataset, columns={"id": "item", "topic": "label"})
    rows = warehouse("select item, body, label from labels order by item")
    assert [tuple(row) for row in rows] == [(1, "one", None), (2, "two", "fruit"), (3, None, "fruit")]


def test_a_table_with_a_constraint_of_its_own_is_written_in_every_mode(warehouse, tmp_path):
    warehouse("create table labels (id int primary key, topic varchar(9), claude_custom_id varchar(40))")
    dataset = publish(tmp_path / "a.parquet", range(3))
    for mode in ("upsert", "append", "replace", "upsert"):
        write(dataset, mode=mode)
    assert len(labels(warehouse)) == 3


def test_names_are_taken_exactly_as_they_are_written(warehouse, tmp_path):
    dataset = publish(tmp_path / "a.parquet", range(2))
    columns = {"id": 'the "id"', "topic": "Select %s; -- it's"}
    for _ in range(2):
        write(dataset, table='"Review.labels; x"', columns=columns)
    rows = warehouse('select "the ""id""", "Select %s; -- it\'s" from "Review.labels; x" order by 1')
    assert [tuple(row) for row in rows] == [(0, "fruit"), (1, "fruit")]


def test_a_key_of_several_columns_finds_its_rows(warehouse, tmp_path):
    for topic in ("fruit", "metal"):
        languages = pa.array(["de", "fr", "de"])
        write(
            publish(tmp_path / "a.parquet", [1, 1, 2], topic=topic, lang=languages),
            key=["id", "lang"],
            columns=["id", "lang", "topic"],
        )
    rows = warehouse("select id, lang, topic from labels order by 1, 2")
    assert [tuple(row) for row in rows] == [(1, "de", "metal"), (1, "fr", "metal"), (2, "de", "metal")]


def test_a_table_of_keys_alone_is_written_twice(warehouse, tmp_path):
    dataset = publish(tmp_path / "a.parquet", range(3))
    for _ in range(2):
        write(dataset, columns=["id"])
    assert len(warehouse("select * from labels")) == 3


@pytest.mark.parametrize(
    ("ids", "said"), [([1, 2, 2, 1], "have the key id="), ([1, None, 2], "id is null in 1 of 3 rows")]
)
def test_a_key_that_is_not_one_leaves_the_table_as_it_was(warehouse, tmp_path, ids, said):
    write(publish(tmp_path / "a.parquet", [1]))
    with pytest.raises(WarehouseError, match=said):
        write(publish(tmp_path / "b.parquet", ids, topic="metal"))
    assert labels(warehouse) == [(1, "fruit")]


def test_a_column_that_the_table_lacks_is_named(warehouse, tmp_path):
    warehouse("create table labels (id int, topic varchar(9))")
    with pytest.raises(WarehouseError, match="has no column claude_custom_id: add it"):
        write(publish(tmp_path / "a.parquet", [1]))


def test_a_table_that_is_not_there_is_not_made_unless_asked(warehouse, tmp_path):
    with pytest.raises(WarehouseError, match="is not there"):
        write(publish(tmp_path / "a.parquet", [1]), create_table=False)


def test_an_error_of_the_database_quotes_no_value_and_leaves_the_table_as_it_was(warehouse, tmp_path):
    topic = "topic varchar(9) check (topic <> 'a secret')"
    warehouse(f"create table labels (id int primary key, {topic}, claude_custom_id varchar(9))")
    write(publish(tmp_path / "a.parquet", range(3)))
    with pytest.raises(WarehouseError, match="withheld") as caught:
        write(publish(tmp_path / "b.parquet", range(5), topic="a secret"))
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert labels(warehouse) == [(i, "fruit") for i in range(3)]


def test_a_database_that_cannot_be_opened_says_why(tmp_path, monkeypatch):
    address = {"conn_type": "sqlite", "host": str(tmp_path / "nowhere" / "warehouse.db")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(address))
    with pytest.raises(WarehouseError, match=r"Connecting to warehouse failed: .* unable to open"):
        write(publish(tmp_path / "a.parquet", [1]))


def test_files_that_another_load_has_replaced_are_not_written(warehouse, tmp_path):
    dataset = publish(tmp_path / "a.parquet", range(3))
    publish(tmp_path / "a.parquet", range(2))
    with pytest.raises(WarehouseError, match="published 3 rows, and its files hold 2"):
        write(dataset)
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(WarehouseError, match="is not there"):
        write(dataset)


def test_the_outputs_of_a_mapped_load_are_one_dataset(warehouse, tmp_path):
    loads = [publish(tmp_path / f"{i}.parquet", range(i * 10, i * 10 + 10), run=str(i)) for i in range(3)]
    assert write([*loads, None])["rows"] == 30
    assert len(labels(warehouse)) == 30


def test_a_database_in_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", '{"conn_type": "duckdb"}')
    with pytest.raises(AirflowFailException, match="ends with the task"):
        write(publish(tmp_path / "a.parquet", [1]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"mode": "merge"}, "give 'append'"),
        ({"columns": "id"}, "list of names"),
        ({"outcomes": "ok"}, "list of outcomes"),
        ({"chunk_rows": 0}, "1 or more"),
        ({"table": "a..b"}, "is not a name"),
        ({"columns": ["topic"]}, "leaves out id"),
        ({"columns": ["id", "nothing"]}, "has no nothing"),
        ({"columns": {"id": "a", "topic": "a"}}, "two columns would be written to a"),
        ({"key": None}, "needs key="),
        ({"key": "nothing"}, "has no nothing"),
        ({"mode": "append", "columns": ["id", "topic"]}, "leaves out claude_custom_id"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tmp_path, arguments, said):
    with pytest.raises((AirflowFailException, ClaudeBatchInputError), match=said):
        write(publish(tmp_path / "a.parquet", [1]), **arguments)
