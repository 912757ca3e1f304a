import datetime as dt
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from airflow_provider_claude_batch.errors import QueryError, RowError
from airflow_provider_claude_batch.sources.python_rows import open_rows

TABLE = pa.table({"id": [1, 2, 3], "body": ["a", None, "\U0001f600"]})
DICTS = TABLE.to_pylist()


def read(rows, **arguments) -> pa.Table:
    with open_rows(rows, **arguments) as reader:
        return reader.read_all()


@pytest.mark.parametrize(
    "rows",
    [
        DICTS,
        tuple(DICTS),
        (row for row in DICTS),
        pd.DataFrame(DICTS),
        TABLE,
        TABLE.to_reader(),
        TABLE.to_batches()[0],
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_of_every_kind_make_the_same_table(rows):
    assert read(rows, chunk_rows=2).equals(TABLE)


def test_a_generator_is_asked_only_for_what_is_needed():
    made = []

    def rows():
        for i in range(1000):
            made.append(i)
            yield {"id": i}

    with open_rows(rows(), chunk_rows=10) as reader:
        assert next(iter(reader)).num_rows == 10
        assert len(made) <= 20


def test_the_keys_of_the_first_rows_are_the_columns():
    rows = [{"id": 1}, {"id": 2, "body": "b"}, {"body": "c"}]
    assert read(rows, chunk_rows=2).to_pylist() == [
        {"id": 1, "body": None},
        {"id": 2, "body": "b"},
        {"id": None, "body": "c"},
    ]


def test_a_key_that_the_first_rows_lack_is_named_with_its_row():
    with pytest.raises(RowError, match="row 2: note: columns that the first rows do not have"):
        read([{"id": 1}, {"id": 2}, {"id": 3, "note": "secret"}], chunk_rows=2)


def test_a_later_value_of_another_type_is_not_quoted():
    with pytest.raises(QueryError, match="Column id is int64") as caught:
        read([{"id": 1}, {"id": "secret"}], chunk_rows=1)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "rows", [[{"id": "secret\ud800"}], pd.DataFrame({"id": pd.Series([1, "secret"], dtype=object)})]
)
def test_values_that_arrow_cannot_hold_are_not_quoted(rows):
    with pytest.raises((QueryError, RowError)) as caught:
        read(rows)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


BAD_ROWS = [{"id": i, "body": "secret\ud800" if i == 12 else "fine"} for i in range(10, 14)]


@pytest.mark.parametrize("kind", [list, iter, pd.DataFrame], ids=["list", "generator", "DataFrame"])
@pytest.mark.parametrize("chunk_rows", [1, 3, 10])
def test_a_lone_surrogate_is_named_by_its_row_and_key_and_not_quoted(kind, chunk_rows):
    rows = BAD_ROWS
    if kind is pd.DataFrame:
        columns = {name: pd.Series([row[name] for row in rows], dtype=object) for name in ("id", "body")}
        rows = pd.DataFrame(columns)
    with pytest.raises(RowError) as caught:
        read(kind(rows), key=["id"], chunk_rows=chunk_rows)
    assert str(caught.value) == (
        "row 2 (id=12): column body holds text that is not valid Unicode. Nothing was sent."
    )
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", [["\ud800"], {"a": "\ud800"}, [{"a": ["\ud800"]}]])
def test_a_lone_surrogate_in_a_list_or_a_struct_is_found(value):
    with pytest.raises(RowError, match=r"row 0 \(id=7\): column x"):
        read([{"id": 7, "x": value}], key=["id"])


def test_a_key_that_is_no_unicode_itself_is_not_shown():
    with pytest.raises(RowError, match=r"^row 0: column id holds text"):
        read([{"id": "secret\ud800"}], key=["id"])


def not_utf8(good: bytes, bad: bytes) -> pa.Array:
    offsets = pa.array([0, len(good), len(good) + len(bad)], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(good + bad)])


def test_text_of_arrow_that_is_not_utf_8_is_named_by_its_row_and_key():
    table = pa.table({"id": [1, 2], "body": not_utf8(b"fine", b"secret\xff")})
    with pytest.raises(RowError, match=r"row 1 \(id=2\): column body .* not valid Unicode") as caught:
        read(table, key=["id"], chunk_rows=1)
    assert "secret" not in str(caught.value)
    with pytest.raises(RowError, match=r"^row 1: column id .* not valid Unicode"):
        read(table.select(["body"]).rename_columns(["id"]), key=["id"])


@pytest.mark.parametrize("rows", [None, 7, "text", {"id": 1}])
def test_what_is_no_rows_is_refused(rows):
    with pytest.raises(QueryError, match="Rows are dicts"):
        read(rows)


@pytest.mark.parametrize("row", [(1, 2), None, {1: 2}])
def test_a_row_that_is_no_dict_of_names_is_refused(row):
    with pytest.raises(RowError, match="row 1: it"):
        read([{"id": 1}, row])


def test_what_the_generator_raises_passes():
    def rows():
        yield {"id": 1}
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        read(rows(), chunk_rows=1)


def test_no_rows_make_no_columns():
    assert read([]).schema.names == []


def test_types_of_pandas_are_kept():
    frame = pd.DataFrame(
        {
            "at": pd.to_datetime(["2026-01-01", None]).tz_localize("Asia/Kolkata"),
            "kind": pd.Categorical(["a", "b"]),
            "count": pd.array([1, None], dtype="Int64"),
            "price": [Decimal("1.50"), None],
        },
        index=[7, 8],
    )
    table = read(frame, chunk_rows=1)
    assert table.to_pylist()[0] | {"at": None} == {
        "at": None,
        "kind": "a",
        "count": 1,
        "price": Decimal("1.50"),
    }
    assert table["at"][0].as_py() == dt.datetime(2025, 12, 31, 18, 30, tzinfo=dt.UTC)
    assert table["count"].to_pylist() == [1, None]
