"""
Checks that the author of a task makes on the rows before they are published, beside the limits of the gate.

No text of a row comes into a message: an exception of a check is named by its type and place. Imports pyarrow
and DuckDB inside functions only: this module is reached from a Dag file.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, TypeAlias, cast

from airflow_provider_claude_batch.errors import ClaudeBatchInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import duckdb
    import pyarrow as pa

    from airflow_provider_claude_batch.submission.dataset_files import LocalDataset

#: One check: SQL over the table ``results``, or a function of all rows as an Arrow table.
Check: TypeAlias = "str | Callable[[pa.Table], object]"

#: What a task takes: one check or several.
Checks: TypeAlias = "Check | Sequence[Check]"

#: Memory of DuckDB for the checks in SQL; what needs more goes to local disk.
_SQL_MEMORY = "512MB"

#: Python's own type, NumPy's in its two versions, and Arrow's.
_BOOLEANS = frozenset({"bool", "bool_", "BooleanScalar"})

#: Characters of a query in a message.
_LONGEST_SQL = 100


def to_checks(checks: Checks | None) -> list[Check]:
    """
    Read the argument of a task.

    :raises ClaudeBatchInputError: One is neither SQL nor a function, or is SQL and DuckDB is not installed.
    """
    found: list[Check] = []
    if isinstance(checks, list | tuple):
        found.extend(checks)
    elif checks is not None:
        found.append(cast("Check", checks))
    for number, check in enumerate(found, 1):
        if not (isinstance(check, str) and check.strip()) and not callable(check):
            raise ClaudeBatchInputError(
                f"check {number} is {type(check).__name__}, and a check is SQL or a function. Nothing was "
                "sent."
            )
    if any(isinstance(check, str) for check in found) and importlib.util.find_spec("duckdb") is None:
        raise ClaudeBatchInputError(
            "A check in SQL needs DuckDB: install airflow-provider-claude-batch[duckdb]. Nothing was sent."
        )
    return found


def run_checks(checks: Checks | None, dataset: LocalDataset) -> str | None:
    """
    Say which checks do not hold of the rows, or ``None`` where all do.

    A check in SQL is a query over the table ``results``, run by DuckDB in 512 MB of memory and local disk; it
    holds where it returns rows and every value of them is true. A function gets all rows as one Arrow table,
    which is in memory as a whole; the check holds where it returns ``True`` or ``None``. A text that it
    returns says why it does not, and is shown; the text of an exception, which may quote a row, is not.

    :param dataset: Its rows, on local disk.
    """
    found = to_checks(checks)
    broken = [
        reason
        for check in found
        if isinstance(check, str) and (reason := _broken_query(check, dataset)) is not None
    ]
    functions = [check for check in found if not isinstance(check, str)]
    table = _read(dataset) if functions else None
    broken += [reason for check in functions if (reason := _broken_function(check, table)) is not None]
    return "; ".join(broken) or None


def _read(dataset: LocalDataset) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables(pq.read_table(file, memory_map=True) for file in dataset.files)


def _broken_function(function: Callable[[pa.Table], object], table: pa.Table) -> str | None:
    name = f"check {getattr(function, '__name__', type(function).__name__)}"
    try:
        result = function(table)
    except Exception as error:
        return f"{name} raises {type(error).__name__} at {_place(error, function)}"
    if isinstance(result, str):
        return f"{name}: {result}"
    if result is None:
        return None
    if type(result).__name__ not in _BOOLEANS:
        return f"{name} returns {type(result).__name__}, and a check returns True, False, a text or None"
    return None if _is_true(result) else f"{name} does not hold"


def _is_true(result: object) -> bool:
    as_py = getattr(result, "as_py", None)
    return bool(result if as_py is None else as_py())


def _place(error: Exception, function: Callable[..., object]) -> str:
    """Say where in the author's own file an exception came from."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = extract_tb(error.__traceback__)
    frame = [frame for frame in frames if frame.filename == file][-1:] or frames[-1:]
    return f"{Path(frame[0].filename).name}:{frame[0].lineno}"


def _broken_query(query: str, dataset: LocalDataset) -> str | None:
    import duckdb

    text = " ".join(query.split())
    name = f"check ({text if len(text) <= _LONGEST_SQL else text[:_LONGEST_SQL] + '...'})"
    # What these say is about the query; others may quote a value of a row.
    about_the_query = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
    try:
        with _results(dataset) as connection:
            return _broken_result(connection.execute(query), name)
    except about_the_query as error:
        return f"{name} fails: {error}"
    except duckdb.Error as error:
        return f"{name} fails: {type(error).__name__}"


def _results(dataset: LocalDataset) -> duckdb.DuckDBPyConnection:
    """Open a database in memory whose table ``results`` is the files, which are read as far as is asked."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"set memory_limit = '{_SQL_MEMORY}'")
    connection.execute("set temp_directory = ?", [str(dataset.scratch / "duckdb")])
    connection.read_parquet([str(file) for file in dataset.files]).create_view("results")
    return connection


def _broken_result(result: duckdb.DuckDBPyConnection, name: str) -> str | None:
    columns = result.description or []
    if others := [column for column, kind, *_ in columns if str(kind) not in ("bool", "BOOLEAN")]:
        return f"{name} returns {', '.join(others)}, which is not a boolean: a check returns true or false"
    has_rows = False
    while chunk := result.fetchmany(1000):
        has_rows = True
        values = [value for row in chunk for value in row]
        if not all(values):
            return f"{name} returns {'NULL' if None in values else 'false'}"
    return None if has_rows else f"{name} returns no row"
