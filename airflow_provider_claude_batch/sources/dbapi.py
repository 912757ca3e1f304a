"""What reading a query needs of a database driver, in the words of PEP 249, and what a running query is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

Parameters = Sequence[object] | Mapping[str, object]
Row = Sequence[object]


class Cursor(Protocol):
    """The part of a cursor that reading needs."""

    arraysize: int

    @property
    def description(self) -> Sequence[Sequence[object]] | None:
        """Name, type code, two sizes, precision, scale and nullability of each column."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> object:
        """Run a query."""

    def fetchmany(self, size: int = ..., /) -> Sequence[Row]:
        """Fetch the next rows."""

    def fetchall(self) -> Sequence[Row]:
        """Fetch the rows that are left."""

    def close(self) -> None:
        """Close the cursor."""


class Connection(Protocol):
    """The part of a connection that reading needs."""

    def cursor(self, *args: object, **kwargs: object) -> Cursor:
        """Open a cursor."""

    def close(self) -> None:
        """Close the connection."""


@dataclass(frozen=True, slots=True)
class RunningQuery:
    """
    A query that the database has accepted, before its first row is fetched.

    :param read: Fetches the first rows and returns a reader; called once.
    :param cursor: The cursor that ran it, where there is one: lineage takes the query's id from it.
    :param close: Ends it, before the connection is closed; called whether all rows were read or not.
    """

    read: Callable[[], pa.RecordBatchReader]
    cursor: object = None
    close: Callable[[], None] = lambda: None


def driver_of(connection: object) -> str:
    """Return the top-level module of the driver that a connection comes from, such as ``psycopg``."""
    return type(connection).__module__.partition(".")[0].lstrip("_")


def execute(cursor: Cursor, sql: str, parameters: Parameters | None) -> None:
    """Run a query; without parameters, a ``%`` in it stays what it is."""
    if parameters is None:
        cursor.execute(sql)
    else:
        cursor.execute(sql, parameters)
