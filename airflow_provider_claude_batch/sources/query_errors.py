"""
The database's errors as ours.

What a database says of a query is shown; what it says of a row's value is withheld, since it may quote it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: PEP 249's class for errors in the data itself, and DuckDB's for a value that does not parse.
_QUOTING = frozenset({"DataError", "InvalidInputException"})


@contextmanager
def reported(what: str, *, reads_rows: bool) -> Iterator[None]:
    """
    Turn the driver's errors into ours; errors of this package and of the caller's own files pass.

    :param what: Subject of the message.
    :param reads_rows: Rows are read inside: no message of the driver is shown.
    :raises QueryError: The driver raised.
    """
    try:
        yield
    except (QueryError, OSError, ValueError):
        raise
    except Exception as error:
        kind = type(error).__name__
        withheld = reads_rows or any(base.__name__ in _QUOTING for base in type(error).__mro__)
        if not _is_of_driver(error):
            raise
        said = "its message is withheld, since it may quote a row" if withheld else str(error).strip()
        raise QueryError(f"{what} failed: {kind}: {said}. Nothing was sent.") from (
            None if withheld else error
        )


def _is_of_driver(error: Exception) -> bool:
    """PEP 249 asks every driver to derive its errors from a class that it calls ``Error``."""
    return any(base.__name__ == "Error" for base in type(error).__mro__)
