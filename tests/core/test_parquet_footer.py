"""Parquet's footers, taken apart and put together."""

import io
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.parquet_footer import Footer
from airflow_provider_claude_batch.core.thrift_compact import (
    from_int,
    from_structs,
    to_fields,
    to_int,
    to_struct,
    to_structs,
)

TABLE = pa.table(
    {
        "n": pa.array([1, None, -(2**63)] * 40),
        "t": ["", "a", None] * 40,
        "d": pa.array(["x", "y", None] * 40).dictionary_encode(),
        "f": [0.5, float("nan"), None] * 40,
        "b": [True, False, None] * 40,
        "l": [[{"a": 1, "b": ["c"]}], [], None] * 40,
    }
)

OPTIONS = {
    "as landed": {"compression": "zstd"},
    "one row group": {"row_group_size": 1000},
    "many row groups": {"row_group_size": 3},
    "no statistics, no dictionaries": {"write_statistics": False, "use_dictionary": False},
    "page index": {"write_page_index": True},
    "sorting columns": {"sorting_columns": [pq.SortingColumn(0)]},
    "bloom filters": {"bloom_filter_options": {"n": {"ndv": 100}}},
}


def footer_of(**options):
    sink = io.BytesIO()
    pq.write_table(TABLE, sink, **{"row_group_size": 50, **options})
    sink.seek(-8, os.SEEK_END)
    size = int.from_bytes(sink.read(4), "little")
    return sink.getvalue()[-8 - size : -8]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_footer_that_is_taken_apart_and_put_together_is_the_same(options):
    data = footer_of(**options)
    assert to_struct(to_fields(data)) == data
    groups = to_structs(to_fields(data)[4][1])
    assert from_structs(groups) == to_fields(data)[4][1]
    assert [to_struct(to_fields(group)) for group in groups] == groups


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_row_groups_are_where_pyarrow_says(options):
    data = footer_of(**options)
    sink = io.BytesIO()
    pq.write_table(TABLE, sink, **{"row_group_size": 50, **options})
    metadata = pq.read_metadata(sink)
    for number, group in enumerate(Footer.of(data).row_groups()):
        told = metadata.row_group(number)
        columns = [told.column(i) for i in range(told.num_columns)]
        assert group.rows == told.num_rows
        assert group.start == min(
            column.dictionary_page_offset or column.data_page_offset for column in columns
        )
        assert group.end - group.start == sum(column.total_compressed_size for column in columns)


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_what_they_were(number):
    assert to_int(from_int(number)) == number


@given(st.lists(st.integers(1, 2000), unique=True).map(sorted), st.binary(max_size=3))
def test_fields_may_have_any_numbers(numbers, text):
    fields = {number: (8, bytes([len(text)]) + text) for number in numbers}
    assert to_fields(to_struct(fields)) == fields


@pytest.mark.parametrize("count", [0, 1, 14, 15, 16, 300])
def test_a_list_may_be_of_any_length(count):
    structs = [to_struct({1: (5, from_int(number))}) for number in range(count)]
    assert to_structs(from_structs(structs)) == structs


def test_what_is_no_footer_is_refused():
    data = footer_of()
    for broken in (data[:-1], data + b"\0", b"", b"\x1b\0"):
        with pytest.raises(ValueError, match=r"struct|type"):
            Footer.of(broken)
