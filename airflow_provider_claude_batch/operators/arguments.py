"""What a submit task was asked, from its rendered arguments: the request, and where the rows come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.sources import python_rows
from airflow_provider_claude_batch.sources.parquet import open_parquet
from airflow_provider_claude_batch.sources.sql import open_query
from airflow_provider_claude_batch.submission.spec import SubmissionSpec, make_spec

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa
    from airflow.sdk import Context

    from airflow_provider_claude_batch.operators.submit import ClaudeBatchSubmitOperator


@runtime_checkable
class MakesRows(Protocol):
    """A submit task whose rows come from a function of the author's."""

    def make_rows(self, context: Context) -> object:
        """Call the function."""

    def rows_on_record(self) -> list[object]:
        """Return what stands for the function and its arguments in the digest of the settings."""


def to_spec(asked: ClaudeBatchSubmitOperator) -> SubmissionSpec:
    """
    Return what every row is asked.

    :raises ClaudeBatchInputError: An argument is empty, of the wrong kind, or contradicts another.
    """
    source = [asked.sql_conn_id, asked.sql, asked.parameters, asked.source_path, asked.row_filter]
    return make_spec(
        claude_conn_id=asked.claude_conn_id,
        source=asked.rows_on_record() if isinstance(asked, MakesRows) else source,
        key=asked.key,
        passthrough=asked.passthrough,
        model=asked.model,
        max_tokens=asked.max_tokens,
        prompt=asked.prompt,
        system=asked.system,
        output_schema=asked.output_schema,
        request_params=asked.request_params,
        messages=asked.messages,
        build_request=asked.build_request,
        betas=asked.betas,
        samples_per_row=asked.samples_per_row,
        custom_id_from=asked.custom_id_from,
        on_null=asked.on_null,
        on_invalid_row=asked.on_invalid_row,
        retain=asked.retain,
        retain_failed_days=asked.retain_failed_days,
        deduplicate=asked.deduplicate,
        keep_content=asked.keep_content,
        cache_ttl=asked.cache_ttl,
    )


def open_rows(
    asked: ClaudeBatchSubmitOperator, spec: SubmissionSpec, context: Context
) -> AbstractContextManager[pa.RecordBatchReader]:
    """
    Open the source; the query runs when the rows are read, and so does a generator.

    :raises ClaudeBatchInputError: There is no source, or more than one.
    """
    if isinstance(asked, MakesRows):
        return python_rows.open_rows(asked.make_rows(context), key=spec.key)
    if asked.source_path and not asked.sql:
        return open_parquet(
            asked.source_path, columns=spec.used_columns(), key=spec.key, row_filter=asked.row_filter
        )
    if asked.sql and asked.sql_conn_id and not asked.source_path:
        return open_query(asked.sql, sql_conn_id=asked.sql_conn_id, parameters=asked.parameters)
    raise ClaudeBatchInputError("Give either sql and sql_conn_id, or source_path. Nothing was sent.")
