"""Which errors Airflow may try again: the one place where that is decided."""

from __future__ import annotations

from airflow_provider_claude_batch.errors import (
    ApiUnavailableError,
    ClaudeBatchError,
    ClaudeBatchRunError,
    CostCapReachedError,
    CreateRefusedError,
    DatasetError,
    DestinationError,
    GenerationClosedError,
    OtherAccountError,
    PartlySentError,
    PilotFailedError,
    PlanMissingError,
    QualityGateError,
    QueryError,
    SourceColumnsError,
    StagingError,
    UnsafeStagingError,
)


def a_retry_can_help(error: ClaudeBatchError) -> bool:
    """Databases and stores come back, rate limits pass, lost answers are found; the rest needs a person."""
    if isinstance(error, PartlySentError):
        return isinstance(error.__cause__, CreateRefusedError) and error.__cause__.is_temporary
    if isinstance(error, ClaudeBatchRunError):
        return not isinstance(
            error,
            OtherAccountError
            | GenerationClosedError
            | QualityGateError
            | CostCapReachedError
            | PilotFailedError
            | DatasetError,
        )
    if isinstance(error, CreateRefusedError):
        return error.is_temporary
    if isinstance(error, UnsafeStagingError):
        return False
    is_of_database = isinstance(error, QueryError) and not isinstance(error, SourceColumnsError)
    return is_of_database or isinstance(
        error, ApiUnavailableError | DestinationError | StagingError | PlanMissingError
    )
