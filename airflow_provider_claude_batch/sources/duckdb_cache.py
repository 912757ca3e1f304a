"""
A query's rows from DuckDB without what it keeps of its tables: it caches every page that it has read.

The cache would grow to DuckDB's memory limit, most of the machine. A lower limit is no way out: it also
bounds what a sort, a wide table or a column of long documents needs at once, and such a query would fail.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

#: Bytes of rows after which the cache is dropped.
_DROP_BYTES = 16_000_000

#: What DuckDB may use while the cache is dropped, above what it uses for anything else.
_SPARE_BYTES = 1_000_000

_USED = """
select sum(memory_usage_bytes)
from duckdb_memory()
where tag not in ('BASE_TABLE', 'EXTERNAL_FILE_CACHE')
"""


def drop_cache_between(
    connection: DuckDBPyConnection, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """
    Pass record batches on, and drop the pages that DuckDB has cached each time 16 MB have passed.

    What a sort or a join of the query still holds stays in memory. The rest of the query runs in the thread
    that asks for rows, so that nothing runs while the cache is dropped. Where the configuration is locked,
    the cache stays.

    :param connection: Runs the query; its settings are those of its whole database.
    :param batches: The query's rows, as they are asked for.
    """
    import duckdb

    with connection.cursor() as settings:
        try:
            (limit,) = settings.execute("select current_setting('memory_limit')").fetchall()[0]
            settings.execute("set threads = 1")
        except duckdb.Error:
            yield from batches
            return
        passed = 0
        for batch in batches:
            passed += batch.nbytes
            yield batch
            if passed >= _DROP_BYTES:
                _drop(settings, limit)
                passed = 0


def _drop(settings: DuckDBPyConnection, limit: str) -> None:
    """Lower the limit for a moment: DuckDB drops what it can before it says whether that was enough."""
    import duckdb

    (used,) = settings.execute(_USED).fetchall()[0]
    try:
        with suppress(duckdb.OutOfMemoryException):
            settings.execute(f"set memory_limit = '{int(used or 0) + _SPARE_BYTES}B'")
    finally:
        settings.execute(f"set memory_limit = '{limit}'")
