"""Rows into Postgres's staging table by COPY, with psycopg or psycopg2."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from airflow_provider_claude_batch.core.warehouse_sql import WriteSql
    from airflow_provider_claude_batch.warehouse.selected_rows import SelectedRows
    from airflow_provider_claude_batch.warehouse.session import Session


class _Copy(Protocol):
    def write(self, data: bytes, /) -> None:
        """Send bytes."""


class _CopyCursor(Protocol):
    def copy(self, sql: str, /) -> AbstractContextManager[_Copy]:
        """Begin a COPY: psycopg."""

    def copy_expert(self, sql: str, file: io.RawIOBase, /) -> None:
        """Run a COPY: psycopg2."""


class CopyText(io.RawIOBase):
    """
    The rows as one stream of COPY text, made as it is read.

    After it is read, ``rows`` is the number of rows, and ``nuls`` that of values whose NUL was replaced.
    """

    def __init__(self, selected: SelectedRows) -> None:
        self.rows = 0
        self.nuls = 0
        self._texts = self._made(selected)
        self._rest = b""

    def _made(self, selected: SelectedRows) -> Iterator[bytes]:
        from airflow_provider_claude_batch.core.arrow_to_warehouse import to_copy_text

        for batch in selected.batches():
            text, nuls = to_copy_text(batch)
            self.rows += batch.num_rows
            self.nuls += nuls
            yield text

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, ``size`` at most; none at the end."""
        if not self._rest:
            self._rest = next(self._texts, b"")
        end = len(self._rest) if size < 0 else size
        text, self._rest = self._rest[:end], self._rest[end:]
        return text


def fill_postgres(session: Session, sql: WriteSql, selected: SelectedRows) -> CopyText:
    """Copy the rows into the staging table, one record batch in memory at a time."""
    statement = f"copy {sql.staging} ({sql.names}) from stdin with (format csv)"
    text = CopyText(selected)
    cursor = cast("_CopyCursor", session.cursor())
    if session.driver == "psycopg2":
        cursor.copy_expert(statement, text)
        return text
    with cursor.copy(statement) as copy:
        while data := text.read():
            copy.write(data)
    return text
