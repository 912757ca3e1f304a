"""
All errors of this package, in two branches: before and after the paid call.

.. code-block:: text

    ClaudeBatchError
        ClaudeBatchInputError (a ValueError): nothing was sent, nothing is billed
            RowTemplateError
            OutputSchemaError
            RowError
                RequestTooLargeError
            DestinationError
            StagingError
                UnsafeStagingError
            PlanMissingError
            ApiUnavailableError
            QueryError
                SourceColumnsError
            CreateRefusedError
            CostCapError
        ClaudeBatchRunError (a RuntimeError): something was, or may have been, sent
            SubmissionUncertainError
            OtherAccountError
            GenerationClosedError
            PartlySentError
            CostCapReachedError
            PilotFailedError
            ManifestUnreadableError
            SnapshotChangedError
            BatchNotEndedError
            BatchWaitTimeoutError
            ResultsIncompleteError
            QualityGateError
            DatasetError
            WarehouseError

No message of this package holds text that came from a row; a row is named by its number and its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ClaudeBatchError(Exception):
    """Base class of every error that this package raises on purpose."""


class ClaudeBatchInputError(ClaudeBatchError, ValueError):
    """Found before anything was sent: no batch exists because of this attempt and nothing is billed."""


class RowTemplateError(ClaudeBatchInputError):
    """A template is malformed, or names a column that the source does not return."""


class OutputSchemaError(ClaudeBatchInputError):
    """The output schema is not one that the API takes or that Parquet can hold."""


class RowError(ClaudeBatchInputError):
    """
    One row cannot become a request.

    :param reason: What is wrong, without the row's text.
    :param row: Number of the row in the source, from 0.
    :param key: ``column=value`` of the row's key, or ``None`` where the key itself is at fault.
    """

    def __init__(self, reason: str, *, row: int, key: str | None = None) -> None:
        self.reason = reason
        self.row = row
        self.key = key
        where = f"row {row} ({key})" if key else f"row {row}"
        super().__init__(f"{where}: {reason}. Nothing was sent.")


class RequestTooLargeError(RowError):
    """A single request is larger than a whole batch may be."""


class DestinationError(ClaudeBatchInputError):
    """The destination of the results cannot be written."""


class StagingError(ClaudeBatchInputError):
    """The staging path cannot hold a manifest folder."""


class UnsafeStagingError(StagingError):
    """The staging store cannot keep two processes from sending the same shard."""


class PlanMissingError(ClaudeBatchInputError):
    """The task whose plan is to be sent has no output at the moment."""


class ApiUnavailableError(ClaudeBatchInputError):
    """The API did not answer, or refused, one of the free questions that come before anything is sent."""


class QueryError(ClaudeBatchInputError):
    """The source could not be read, or its columns do not fit the task."""


class SourceColumnsError(QueryError):
    """
    The source was read, and its columns or their values do not fit the task: reading again changes nothing.
    """


class CreateRefusedError(ClaudeBatchInputError):
    """
    The API refused to create a batch, with a definite answer.

    :param message: What was refused, and what a person has to do.
    :param status_code: HTTP status of the answer.
    :param error_type: The API's word, such as ``invalid_request_error``.
    :param request_id: The API's ``request-id``, to quote to Anthropic's support.
    :param is_temporary: It passes by itself: a rate limit, a connection that broke.
    :param retry_after_seconds: What the API asks to wait, if it does.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        error_type: str | None,
        request_id: str | None,
        is_temporary: bool,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.status_code = status_code
        self.error_type = error_type
        self.request_id = request_id
        self.is_temporary = is_temporary
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class CostCapError(ClaudeBatchInputError):
    """What is to be sent can cost more than the cap allows, or nothing says how much it can cost."""


class ClaudeBatchRunError(ClaudeBatchError, RuntimeError):
    """Found after a batch was, or may have been, created: the message says what became of the money."""


class SubmissionUncertainError(ClaudeBatchRunError):
    """The whole body of a create went out and no answer came back: the batch may exist."""


class OtherAccountError(ClaudeBatchRunError):
    """The connection's key is of another workspace than the one that the submission was begun with."""


class GenerationClosedError(ClaudeBatchRunError):
    """A later generation of the same submission has been opened; this one sends nothing more."""


class PartlySentError(ClaudeBatchRunError):
    """
    The API refused a shard after it had accepted others of the same submission.

    Its cause is the :class:`CreateRefusedError`.
    """


class CostCapReachedError(ClaudeBatchRunError):
    """A part of a submission was sent, and the cap leaves no room for the rest."""


class PilotFailedError(ClaudeBatchRunError):
    """Too many of the rows that went out first have no usable answer; the rest was not sent."""


class ManifestUnreadableError(ClaudeBatchRunError):
    """A file of a manifest folder exists and cannot be read, so what was sent is not known."""


class SnapshotChangedError(ClaudeBatchRunError):
    """A snapshot on staging is not the one its round describes; what was not sent yet is not sent."""


class BatchNotEndedError(ClaudeBatchRunError):
    """Results were asked of a batch that is still processing."""


class BatchWaitTimeoutError(ClaudeBatchRunError):
    """A wait ended before its batches did; the batches were left alone."""


class ResultsIncompleteError(ClaudeBatchRunError):
    """The results that arrived are not the ones that the snapshot and the batch's counts promise."""


class QualityGateError(ClaudeBatchRunError):
    """
    The rows are not good enough to replace what the destination holds, which it keeps.

    :param reason: Which limit or check is broken, with counts and keys and without texts of rows.
    :param outcomes: Rows by outcome.
    :param kept: Where the answers stay, and what judges them again.
    :param way_out: What else may help, a sentence.
    """

    def __init__(
        self,
        reason: str,
        *,
        outcomes: Mapping[str, int],
        kept: str = "in the manifest folder: a retry judges the same rows again",
        way_out: str = "",
    ) -> None:
        self.reason = reason
        self.outcomes = dict(outcomes)
        super().__init__(
            f"{reason}. The destination keeps what it had. The answers are paid for and stay {kept}, and "
            f"pays for nothing twice.{way_out and f' {way_out}'}"
        )


class DatasetError(ClaudeBatchRunError):
    """The rows cannot be published as the task asks; the destination keeps what it had."""


class WarehouseError(ClaudeBatchRunError):
    """
    Published answers could not be written into the warehouse.

    :param message: What went wrong, without values of rows but their keys, and what a retry does.
    :param sqlstate: The database's code of the error, where it gives one.
    """

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        self.sqlstate = sqlstate
        super().__init__(message)
