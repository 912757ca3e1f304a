"""What databases say differently: quotes, types, and how rows that are there are changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlDialect:
    """
    One kind of database.

    :param types: SQL type of each kind of :func:`~.arrow_to_warehouse.kind_of`; ``{0}`` and ``{1}`` stand
        for the digits of a decimal.
    :param upsert: How rows that are there are changed: ``update ... from``, MySQL's ``update ... join``, or
        the standard's ``merge``, which inserts too.
    :param quotes: What stands before and after a name.
    :param reserved: Words that are quoted, beside names that are not plain; ``None`` where every name is,
        and so taken exactly as written.
    :param has_temporary_tables: The staging table is one, and a transaction may make it.
    :param declares_key: A table that is made here gets the key as its primary key.
    """

    types: Mapping[str, str]
    upsert: Literal["update from", "update join", "merge"]
    quotes: tuple[str, str] = ('"', '"')
    reserved: frozenset[str] | None = None
    has_temporary_tables: bool = True
    declares_key: bool = False

    def quoted(self, name: str, *, always: bool = False) -> str:
        """Return a name as it stands in a statement."""
        is_bare = (
            self.reserved is not None and _PLAIN.fullmatch(name) and name.casefold() not in self.reserved
        )
        if is_bare and not always:
            return name
        before, after = self.quotes
        return f"{before}{name.replace(after, after * 2)}{after}"


_STANDARD_TYPES = {
    "bool": "boolean",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "uint64": "decimal(20, 0)",
    "float32": "real",
    "float64": "double precision",
    "decimal": "decimal({0}, {1})",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamp with time zone",
    "time": "time",
    "duration": "interval",
    "binary": "blob",
    "uuid": "varchar(36)",
    "json": "text",
    "text": "text",
}

POSTGRES = SqlDialect(
    types={**_STANDARD_TYPES, "binary": "bytea", "uuid": "uuid", "json": "jsonb"},
    upsert="update from",
    declares_key=True,
)

#: Tables take the types of the Parquet itself.
DUCKDB = SqlDialect(types={}, upsert="update from")

#: A decimal becomes a floating point number, of which SQLite keeps 15 digits.
SQLITE = SqlDialect(
    types={**_STANDARD_TYPES, "timestamptz": "timestamp", "time": "text", "duration": "real"},
    upsert="update from",
    declares_key=True,
)

_MYSQL_TYPES = {
    "float32": "float",
    "float64": "double",
    "timestamp": "datetime(6)",
    "timestamptz": "datetime(6)",
    "time": "time(6)",
    "duration": "time(6)",
    "binary": "longblob",
    "json": "json",
    "text": "longtext",
}


def other_dialect(name: str, *, quotes: tuple[str, str], reserved: frozenset[str]) -> SqlDialect:
    """
    Return the dialect of a database that has no path of its own.

    Its names fold to upper or lower case, so plain ones are not quoted.

    :param name: SQLAlchemy's word, such as ``mysql``.
    """
    if name in {"mysql", "mariadb"}:
        return SqlDialect(
            types={**_STANDARD_TYPES, **_MYSQL_TYPES},
            upsert="update join",
            quotes=("`", "`"),
            reserved=reserved,
        )
    return SqlDialect(
        types=_STANDARD_TYPES,
        upsert="merge",
        quotes=quotes,
        reserved=reserved,
        has_temporary_tables=False,
    )
