"""Which errors Airflow may try again: the one place where that is decided."""

from __future__ import annotations

from http import HTTPStatus

from airflow_provider_claude_batch.errors import (
    ClaudeBatchInputError,
    CreateRefusedError,
    DestinationError,
    QueryError,
    SourceColumnsError,
    StagingError,
)


def a_retry_can_help(error: ClaudeBatchInputError) -> bool:
    """Databases and stores come back, a broken body and a rate limit pass; the rest needs a person first."""
    if isinstance(error, CreateRefusedError):
        return error.status_code in (0, HTTPStatus.TOO_MANY_REQUESTS)
    is_of_database = isinstance(error, QueryError) and not isinstance(error, SourceColumnsError)
    return is_of_database or isinstance(error, DestinationError | StagingError)
