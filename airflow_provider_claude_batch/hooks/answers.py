"""Answers of the API told from what a gateway or a proxy says with a 200 in its place."""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anthropic import APIResponse, BaseModel
    from anthropic.types.messages import MessageBatch

_Said = TypeVar("_Said", bound="BaseModel")


def parsed(answer: APIResponse[_Said], kind: type[_Said], **needed: type | tuple[type, ...]) -> _Said:
    """
    Return what the API said. The SDK itself makes a model of anything that is JSON, and a text of the rest.

    :param answer: Of ``with_raw_response``.
    :param kind: What the API answers this call with.
    :param needed: Fields that every answer of the API's has, each with its type.
    :raises anthropic.APIResponseValidationError: It is something else.
    """
    from anthropic import APIResponseValidationError

    try:
        said: Any = answer.parse()
    except (ValueError, AttributeError, RecursionError):
        said = None
    if _is_said(said, kind, needed):
        return cast("_Said", said)
    raise APIResponseValidationError(answer.http_response, body=None)


def parsed_batch(answer: APIResponse[MessageBatch]) -> MessageBatch:
    """
    Return the batch that the API showed.

    :param answer: Of ``with_raw_response``.
    :raises anthropic.APIResponseValidationError: It is something else.
    """
    from anthropic.types.messages import MessageBatch

    return parsed(answer, MessageBatch, **_batch_fields())


def is_batch(said: object) -> bool:
    """Say whether a member of a list is a batch as the API shows them."""
    from anthropic.types.messages import MessageBatch

    return _is_said(said, MessageBatch, _batch_fields())


def _is_said(said: object, kind: type, needed: Mapping[str, type | tuple[type, ...]]) -> bool:
    return isinstance(said, kind) and all(
        isinstance(getattr(said, name, None), of) for name, of in needed.items()
    )


def _batch_fields() -> dict[str, type | tuple[type, ...]]:
    from anthropic.types.messages import MessageBatchRequestCounts

    return {
        "id": str,
        "processing_status": str,
        "created_at": datetime,
        "ended_at": (datetime, NoneType),
        "archived_at": (datetime, NoneType),
        "request_counts": MessageBatchRequestCounts,
    }
