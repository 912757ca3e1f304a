"""The same rows as tables of real databases, each behind an Airflow connection."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from bench.submitting.rows import read_rows

if TYPE_CHECKING:
    from pathlib import Path

#: The query that the cases run.
SQL = "select id, body from items"


def duckdb_connection(file: Path, rows: Path) -> str:
    """Make a DuckDB file of the rows and return it as an Airflow connection."""
    import duckdb

    with closing(duckdb.connect(str(file))) as database, pa.OSFile(str(rows), "rb") as stream:
        database.register("given", pa.ipc.open_stream(stream))
        database.execute("create table items as select * from given")
    return json.dumps({"conn_type": "duckdb", "host": str(file)})


def postgres_connection(port: int, rows: Path) -> str:
    """Make a table of the rows on a Postgres server and return it as an Airflow connection."""
    import psycopg

    address = {"host": "127.0.0.1", "port": port}
    with psycopg.connect(**address, user="postgres", dbname="postgres") as database:
        database.execute("create table items (id bigint primary key, body text not null)")
        with database.cursor() as cursor, cursor.copy("copy items from stdin (format binary)") as copy:
            copy.set_types(["int8", "text"])
            for batch in read_rows(rows):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    copy.write_row(row)
    return json.dumps({"conn_type": "postgres", **address, "login": "postgres", "schema": "postgres"})
