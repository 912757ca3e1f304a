"""The transfer that writes a loaded dataset into a table. Everything but the story is in ``warehouse``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import BaseOperator

from airflow_provider_claude_batch.core.warehouse_columns import Columns, written_columns
from airflow_provider_claude_batch.core.warehouse_sql import table_parts
from airflow_provider_claude_batch.errors import ClaudeBatchError, ClaudeBatchInputError
from airflow_provider_claude_batch.submission.retries import a_retry_can_help
from airflow_provider_claude_batch.warehouse.dataset import Dataset, local_files, to_dataset
from airflow_provider_claude_batch.warehouse.selected_rows import (
    OUTCOME,
    SelectedRows,
    check_row_count,
    dataset_schema,
)
from airflow_provider_claude_batch.warehouse.session import open_session
from airflow_provider_claude_batch.warehouse.write import Mode, Written, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import Context

#: By which, beside its key, an appended row is known: the answer that it holds. Alone it would not do, since
#: an answer may be reused for the same request of another row.
_ANSWER_ID = "claude_custom_id"


class ClaudeBatchToSqlOperator(BaseOperator):
    """
    Write the rows of a loaded dataset into a table.

    Rows are staged beside the table, by DuckDB's own Parquet reader, by COPY into Postgres, and by inserts
    into every other database; then one transaction, where the database has them, brings them in. Until it
    ends, the table keeps what it had. Columns of the table that are not written keep what they hold. In
    memory: ``chunk_rows`` rows; files on an object store are fetched to local disk first.

    A retry pays for nothing and leads to the same table in every mode, whether or not the try before it came
    to its end. Returns a small dict with ``table``, ``rows`` and ``mode``.

    :param dataset: Output of a :class:`~.batch_to_parquet.ClaudeBatchToParquetOperator`, of a mapped one
        too; or the manifest URI of a loaded submission, the URI of a destination, or URIs of ``.parquet``
        files or of a dataset's ``_manifest.json``. (templated)
    :param sql_conn_id: Connection of any hook that derives from ``DbApiHook``. (templated)
    :param table: Name of the table, ``schema.table`` where need be; taken exactly as written in Postgres,
        DuckDB and SQLite. A part with dots or blanks stands in double quotes. (templated)
    :param mode: ``upsert`` (default) changes the rows whose key the table holds and inserts the others: each
        key is there once, and the last answer wins. ``append`` inserts rows beside what is there, except
        those whose key is there with the same ``claude_custom_id``, which an answer keeps wherever it is
        reused. ``replace`` leaves nothing but these rows, and an empty table where there are none.
    :param key: Column or columns of the dataset by which a row is found. Default: the submission's key, with
        ``claude_sample`` where a row was asked several times. Needs no constraint in the database.
    :param columns: Columns of the dataset to write: names, or a dict from names to those of the table;
        ``None`` for all. Default ``"answers"``: the row's and the answer's own columns, ``claude_custom_id``,
        ``claude_outcome``, ``claude_model``, and ``claude_text`` where there was no ``output_schema``.
    :param outcomes: Values of ``claude_outcome`` whose rows are written. Default: ``ok`` alone, so that a
        row that failed never takes the place of a good earlier answer. ``None`` for all rows.
    :param create_table: Make the table where it is not there (default), with types from the Parquet and, in
        Postgres and SQLite, the key as its primary key.
    :param chunk_rows: Rows in memory at once.
    """

    template_fields: Sequence[str] = ("dataset", "sql_conn_id", "table")
    ui_color = "#d8ecdc"

    def __init__(
        self,
        *,
        dataset: object,
        sql_conn_id: str,
        table: str,
        mode: Mode = "upsert",
        key: str | Sequence[str] | None = None,
        columns: Columns = "answers",
        outcomes: Sequence[str] | None = ("ok",),
        create_table: bool = True,
        chunk_rows: int = 4096,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_arguments(mode, columns, outcomes, chunk_rows)
        self.dataset = dataset
        self.sql_conn_id = sql_conn_id
        self.table = table
        self.mode = mode
        self.key = key
        self.columns = columns
        self.outcomes = outcomes
        self.create_table = create_table
        self.chunk_rows = chunk_rows

    def execute(self, context: Context) -> dict[str, object]:
        """Open the files, stage the rows that are wanted, bring them in."""
        try:
            return self._write()
        except ClaudeBatchError as error:
            if a_retry_can_help(error):
                raise
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error

    def _write(self) -> dict[str, object]:
        table_parts(self.table)
        dataset = to_dataset(self.dataset)
        with local_files(dataset) as paths:
            found = check_row_count(paths, dataset.rows)
            match = self._match(dataset)
            selected = self._selected(paths, dataset, match)
            with open_session(self.sql_conn_id) as session:
                written = write_rows(
                    session,
                    selected,
                    table=self.table,
                    mode=self.mode,
                    match=[selected.columns[name] for name in match],
                    create_table=self.create_table,
                    staging_name=self._staging_name(dataset),
                )
        self._log_written(written, found)
        return {"table": self.table, "rows": written.rows, "mode": self.mode}

    def _match(self, dataset: Dataset) -> tuple[str, ...]:
        if self.mode == "replace":
            return ()
        key = (self.key,) if isinstance(self.key, str) else tuple(self.key or dataset.key or ())
        if not key:
            raise ClaudeBatchInputError(
                f"mode={self.mode!r} needs key=: files alone do not say by which columns a row is found. "
                "Nothing was written."
            )
        return (*key, _ANSWER_ID) if self.mode == "append" else key

    def _selected(self, paths: Sequence[Path], dataset: Dataset, match: Sequence[str]) -> SelectedRows:
        names = dataset_schema(paths).names
        if self.outcomes is not None and OUTCOME not in names:
            raise ClaudeBatchInputError(
                f"the dataset has no {OUTCOME}: give outcomes=None to write all rows. Nothing was written."
            )
        return SelectedRows(
            paths=paths,
            columns=written_columns(
                names, self.columns, match=match, has_output_schema=dataset.has_output_schema
            ),
            outcomes=None if self.outcomes is None else tuple(self.outcomes),
            chunk_rows=self.chunk_rows,
        )

    def _staging_name(self, dataset: Dataset) -> str:
        what = "\n".join((self.table, *dataset.files))
        return f"claude_batch_{hashlib.sha256(what.encode()).hexdigest()[:16]}"

    def _log_written(self, written: Written, found: int) -> None:
        self.log.info(
            "Wrote %d of %d rows to %s (%s)%s",
            written.rows,
            found,
            self.table,
            self.mode,
            ", which was made" if written.created else "",
        )
        if written.nuls:
            self.log.warning(
                "%d values held a NUL, which Postgres cannot hold; it is U+FFFD there.", written.nuls
            )


def _check_arguments(mode: str, columns: object, outcomes: Sequence[str] | None, chunk_rows: int) -> None:
    if mode not in ("append", "upsert", "replace"):
        raise ClaudeBatchInputError(f"mode is {mode!r}: give 'append', 'upsert' or 'replace'.")
    is_names = isinstance(columns, Mapping | Sequence) and not isinstance(columns, str)
    if not (columns is None or columns == "answers" or is_names):
        raise ClaudeBatchInputError("columns takes a list of names, a dict of names, None or 'answers'.")
    if isinstance(outcomes, str) or (outcomes is not None and not outcomes):
        raise ClaudeBatchInputError("outcomes takes a list of outcomes, or None for all rows.")
    if chunk_rows < 1:
        raise ClaudeBatchInputError("chunk_rows must be 1 or more.")
