"""
Cursors that hand over Arrow: ADBC's own, and stand-ins for those of warehouses that run in a cloud only.

The stand-ins have the methods that the drivers' manuals give, and give them real Arrow tables to return.
"""

import pyarrow as pa
import pytest

from airflow_provider_claude_batch.errors import QueryError
from airflow_provider_claude_batch.sources.arrow_native import arrow_reader, run_bigquery


def tables(*columns: list, kinds=None) -> list[pa.Table]:
    return [pa.table({"n": pa.array(values, kind)}) for values, kind in zip(columns, kinds, strict=True)]


class SnowflakeCursor:
    """https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api."""

    def __init__(self, pieces):
        self.pieces = pieces

    def fetch_arrow_batches(self):
        return iter(self.pieces)

    def fetch_arrow_all(self, *, force_return_table=False):
        return pa.table({"n": pa.array([], pa.int64())}) if force_return_table else None


class DatabricksCursor:
    """https://docs.databricks.com/aws/en/dev-tools/python-sql-connector."""

    def __init__(self, table):
        self.table = table

    def fetchmany_arrow(self, size):
        piece, self.table = self.table.slice(0, size), self.table.slice(size)
        return piece


class BigQueryClient:
    """https://docs.cloud.google.com/python/docs/reference/bigquery/latest: client and result in one."""

    def __init__(self, pieces):
        self.pieces = pieces

    def query_and_wait(self, sql):
        return self

    def to_arrow_iterable(self):
        return (batch for table in self.pieces for batch in table.to_batches())

    def to_arrow(self):
        return pa.table({"n": pa.array([], pa.int64())})


def test_adbc_hands_over_its_own_stream(require):
    require("adbc_driver_manager")
    from adbc_driver_duckdb import dbapi

    with dbapi.connect() as connection, connection.cursor() as cursor:
        cursor.execute("select i, i::decimal(9, 2) as price, interval 1 day as d from range(5000) r(i)")
        reader = arrow_reader(cursor, 100)()
        assert reader.schema.types == [pa.int64(), pa.decimal128(9, 2), pa.string()]
        table = reader.read_all()
    assert table["i"].to_pylist() == list(range(5000))
    assert table["d"][0].as_py() == "P0M1DT0S"


def test_files_of_snowflake_with_integers_of_different_width_make_one_column():
    pieces = tables([1, None], [2**40], kinds=[pa.int8(), pa.int64()])
    table = arrow_reader(SnowflakeCursor(pieces), 100)().read_all()
    assert table.schema.field("n").type == pa.int64()
    assert table["n"].to_pylist() == [1, None, 2**40]


def test_a_result_of_snowflake_without_rows_has_columns():
    assert arrow_reader(SnowflakeCursor([]), 100)().read_all().schema.names == ["n"]


@pytest.mark.parametrize("rows", [0, 1, 250])
def test_databricks_is_asked_for_chunks(rows):
    (table,) = tables(list(range(rows)), kinds=[pa.int32()])
    batches = list(arrow_reader(DatabricksCursor(table), 100)())
    assert pa.Table.from_batches(batches, table.schema)["n"].to_pylist() == list(range(rows))
    assert all(batch.num_rows <= 100 for batch in batches)


def test_bigquery_streams_what_its_client_streams():
    query = run_bigquery(BigQueryClient(tables([1], [2], kinds=[pa.int64()] * 2)), "select n", None, 100)
    assert query.read().read_all()["n"].to_pylist() == [1, 2]
    assert run_bigquery(BigQueryClient([]), "select n", None, 100).read().schema.names == ["n"]


def test_parameters_for_bigquery_are_refused():
    with pytest.raises(QueryError, match="BigQuery takes no parameters"):
        run_bigquery(BigQueryClient([]), "select ?", [1], 100)


def test_a_cursor_without_arrow_is_read_by_rows():
    assert arrow_reader(object(), 100) is None
