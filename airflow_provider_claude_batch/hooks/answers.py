"""Answers of the API told from what a gateway or a proxy says with a 200 in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from anthropic import APIResponse, BaseModel

_Said = TypeVar("_Said", bound="BaseModel")


def parsed(answer: APIResponse[_Said], kind: type[_Said], **needed: type) -> _Said:
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
    if isinstance(said, kind) and all(
        isinstance(getattr(said, name, None), type_) for name, type_ in needed.items()
    ):
        return said
    raise APIResponseValidationError(answer.http_response, body=None)
