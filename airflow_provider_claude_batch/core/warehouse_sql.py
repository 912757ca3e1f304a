"""
The statements that bring staged rows into a table: update what is there, insert what is not.

Only text is made here. Rows are staged in a table of the same column types first, so that keys are compared
as the database itself compares them, and columns that are not written keep what they hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import ClaudeBatchInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_claude_batch.core.sql_dialect import SqlDialect

#: One part of a table's name: quoted in one of three ways, or bare.
_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|\[([^\]]+)\]|([^."`\[\]]+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSql:
    """
    The statements of one write.

    :param table: The table's name, from :func:`table_parts`.
    :param columns: Columns of the table that are written.
    :param match: Those of them by which a staged row is found in the table; none to insert every row.
    :param staging_name: Name of the staging table, in the table's schema unless it is a temporary one.
    """

    dialect: SqlDialect
    table: Sequence[tuple[str, bool]]
    columns: tuple[str, ...]
    match: tuple[str, ...]
    staging_name: str = "claude_batch_rows"

    @property
    def target(self) -> str:
        """The table, as it stands in a statement."""
        return ".".join(self.dialect.quoted(name, always=is_quoted) for name, is_quoted in self.table)

    @property
    def staging(self) -> str:
        """The staging table, as it stands in a statement."""
        folder = "" if self.dialect.has_temporary_tables else self.target.rpartition(".")[0]
        name = self.dialect.quoted(self.staging_name)
        return f"{folder}.{name}" if folder else name

    @property
    def names(self) -> str:
        """The columns, separated by commas."""
        return self._listed(self.columns)

    def look(self) -> str:
        """Return what returns no row, and by its description all columns of the table."""
        return _sql("select * from", self.target, "where 1 = 0")

    def create_table(self, types: Mapping[str, str]) -> str:
        """
        Return what makes the table.

        :param types: SQL type of each column that is written.
        """
        columns = [f"{self.dialect.quoted(name)} {types[name]}" for name in self.columns]
        if self.match and self.dialect.declares_key:
            columns.append(f"primary key ({self._listed(self.match)})")
        return _sql("create table", self.target, f"({', '.join(columns)})")

    def create_staging(self) -> str:
        """Return what makes an empty staging table of the same column types."""
        kind = "temporary table" if self.dialect.has_temporary_tables else "table"
        empty = _sql("select", self.names, "from", self.target, "where 1 = 0")
        return _sql("create", kind, self.staging, "as", empty)

    def drop_staging(self) -> str:
        """Return what removes a staging table, where there is one."""
        return _sql("drop table if exists", self.staging)

    def count_staged(self) -> str:
        """Return what returns the number of staged rows."""
        return _sql("select count(*) from", self.staging)

    def null_keys(self) -> str:
        """Return what returns the number of staged rows whose key is not whole."""
        nulls = " or ".join(f"{self.dialect.quoted(name)} is null" for name in self.match)
        return _sql(self.count_staged(), "where", nulls)

    def doubled_keys(self) -> str:
        """Return what returns each key that more than one staged row has, and their number."""
        keys = self._listed(self.match)
        many = "having count(*) > 1"
        return _sql("select", keys + ", count(*) from", self.staging, "group by", keys, many)

    def apply(self, *, replaces: bool) -> list[str]:
        """
        Return what brings the staged rows into the table; to be run in one transaction.

        Run again with the same rows, it changes nothing more, unless there is nothing to match by.

        :param replaces: All rows that the table holds go first.
        """
        if replaces:
            return [_sql("delete from", self.target), self._insert_all()]
        if not self.match:
            return [self._insert_all()]
        if self.dialect.upsert == "merge":
            return [self._merge()]
        return [*self._update(), self._insert_new()]

    def _insert_all(self) -> str:
        return _sql(self._insert_into(), "select", self.names, "from", self.staging)

    def _insert_new(self) -> str:
        first = self.dialect.quoted(self.match[0])
        return _sql(
            self._insert_into(),
            "select",
            self._listed(self.columns, of="s."),
            "from",
            self.staging,
            "s left join",
            self.target,
            f"d on {self._matches()} where d.{first} is null",
        )

    def _update(self) -> list[str]:
        if not self._changed():
            return []
        if self.dialect.upsert == "update join":
            joined = f"{self.target} d join {self.staging} s on {self._matches()}"
            return [_sql("update", joined, "set", self._assignments("d."))]
        return [
            _sql(
                "update",
                self.target,
                "as d set",
                self._assignments(),
                "from",
                self.staging,
                f"as s where {self._matches()}",
            )
        ]

    def _merge(self) -> str:
        changed = f"when matched then update set {self._assignments()}" if self._changed() else ""
        return _sql(
            "merge into",
            self.target,
            f"d using {self.staging} s on ({self._matches()})",
            changed,
            f"when not matched then insert ({self.names})",
            f"values ({self._listed(self.columns, of='s.')})",
        )

    def _insert_into(self) -> str:
        return _sql("insert into", self.target, f"({self.names})")

    def _changed(self) -> list[str]:
        return [name for name in self.columns if name not in self.match]

    def _assignments(self, of: str = "") -> str:
        quoted = map(self.dialect.quoted, self._changed())
        return ", ".join(f"{of}{name} = s.{name}" for name in quoted)

    def _matches(self) -> str:
        return " and ".join(f"d.{name} = s.{name}" for name in map(self.dialect.quoted, self.match))

    def _listed(self, names: Sequence[str], *, of: str = "") -> str:
        return ", ".join(f"{of}{self.dialect.quoted(name)}" for name in names)


def _sql(*clauses: str) -> str:
    return " ".join(filter(None, clauses))


def table_parts(table: str) -> list[tuple[str, bool]]:
    """
    Split a table's name at its dots; each part with whether the author quoted it.

    :param table: Such as ``reviews``, ``lake.labels`` or ``lake."Review labels"``.
    :raises ClaudeBatchInputError: It is no such name.
    """
    parts, end = [], -1
    for match in _PART.finditer(table):
        if match.start() != end + 1 or table[max(end, 0) : match.start()] not in ("", "."):
            break
        parts.append(_unquoted(match))
        end = match.end()
    if end != len(table) or not all(name for name, _ in parts):
        raise ClaudeBatchInputError(f"table {table!r} is not a name such as reviews or lake.reviews.")
    return parts


def _unquoted(match: re.Match[str]) -> tuple[str, bool]:
    doubled, backticked, bracketed, bare = match.groups()
    if doubled is not None:
        return doubled.replace('""', '"'), True
    if backticked is not None:
        return backticked.replace("``", "`"), True
    return (bracketed, True) if bracketed is not None else (bare.strip(), False)
