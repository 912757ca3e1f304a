"""
The Message Batches API behind an Airflow connection.

The connection, its form and its clients are the official Anthropic provider's; this hook adds what batches
need: a create that is sent exactly once, and results as raw lines. Nothing here decides what an answer means.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseHook

from airflow_provider_claude_batch.errors import (
    ClaudeBatchInputError,
    CreateRefusedError,
    SubmissionUncertainError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow.providers.anthropic.hooks.anthropic import AnthropicHook
    from anthropic import Anthropic, APIError, APIStatusError, AsyncAnthropic
    from anthropic.types.messages import MessageBatch

    from airflow_provider_claude_batch.hooks.batch_body import BatchBody

_BATCHES = "/v1/messages/batches"

#: Statuses whose messages speak of the account; those of others may quote a request.
_OF_THE_ACCOUNT = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
)

#: Statuses below 500 that do not say whether the batch was accepted.
_ANSWERS_NOTHING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT)


class ClaudeBatchHook(BaseHook):
    """
    Create, look at and read Message Batches.

    Takes a connection of type ``anthropic``, the official provider's: its API key, base URL, platform and
    keyless login apply unchanged.

    :param claude_conn_id: Airflow connection.
    """

    conn_name_attr = "claude_conn_id"
    default_conn_name = "anthropic_default"
    conn_type = "anthropic"
    hook_name = "Claude Message Batches"

    def __init__(self, claude_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.claude_conn_id = claude_conn_id

    @cached_property
    def _official(self) -> AnthropicHook:
        from airflow.providers.anthropic.hooks.anthropic import AnthropicHook

        return AnthropicHook(conn_id=self.claude_conn_id)

    @cached_property
    def client(self) -> Anthropic:
        """
        The SDK's synchronous client.

        :raises ClaudeBatchInputError: There is no such connection, or its platform serves no batches.
        """
        from airflow.providers.common.compat.sdk import AirflowException
        from airflow.sdk.exceptions import AirflowRuntimeError
        from anthropic import AnthropicError

        try:
            client = self._official.get_conn()
        except (AirflowException, AirflowRuntimeError, AnthropicError) as error:
            raise ClaudeBatchInputError(
                f"claude_conn_id {self.claude_conn_id!r}: {error}. Nothing was sent."
            ) from error
        if self._official.platform not in ("anthropic", "aws"):
            raise ClaudeBatchInputError(
                f"claude_conn_id {self.claude_conn_id!r} is of platform {self._official.platform!r}, which "
                "does not serve Message Batches. Nothing was sent."
            )
        return cast("Anthropic", client)

    def get_conn(self) -> Anthropic:
        """Return :attr:`client`."""
        return self.client

    async def get_async_conn(self) -> AsyncAnthropic:
        """Return a new asynchronous client; the caller closes it."""
        # Importing the SDK takes seconds, in which an event loop would stand still.
        official = await asyncio.to_thread(lambda: self._official)
        return cast("AsyncAnthropic", await official.get_async_conn())

    def test_connection(self) -> tuple[bool, str]:
        """Ask for one page of batches: free, and needs what a submission needs."""
        from anthropic import APIError

        try:
            self.newest_batch_id()
        except (ClaudeBatchInputError, APIError) as error:
            return False, str(error)
        return True, "The Message Batches API answers."

    def newest_batch_id(self) -> str | None:
        """Return the id of the newest batch of the workspace, or ``None`` where there is none. Free."""
        page = self.client.messages.batches.list(limit=1)
        return page.data[0].id if page.data else None

    def create_batch(self, body: BatchBody, *, betas: Sequence[str] = ()) -> MessageBatch:
        """
        Create a batch, with one POST: the SDK's own retries are off, since each would be another batch.

        :param body: Is read once; its last byte is what the API accepts or refuses.
        :param betas: Values of the header ``anthropic-beta``.
        :raises CreateRefusedError: The API gave a definite no, or the body did not go out whole. No batch
            exists.
        :raises SubmissionUncertainError: The whole body went out and no answer came back. A retry must not
            send it again before it has looked for the batch.
        """
        import anthropic
        from anthropic.types.messages import MessageBatch

        headers = {"Content-Type": "application/json", "Content-Length": str(body.size)}
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
        try:
            batch = self.client.post(
                _BATCHES, cast_to=MessageBatch, content=body, options={"headers": headers, "max_retries": 0}
            )
        except anthropic.APIConnectionError as error:
            if body.failure is not None:
                raise body.failure from None
            raise _lost(error, body) from None
        except anthropic.APIStatusError as error:
            # The SDK's message may quote a request: it is neither repeated nor chained.
            raise _refused_or_uncertain(error, body) from None
        except anthropic.APIError as error:
            raise _lost(error, body) from None
        if not isinstance(batch, MessageBatch):
            # A proxy that answers 200 with a page of its own.
            raise _uncertain("an answer that is no batch")
        return batch

    def retrieve_batch(self, batch_id: str) -> MessageBatch:
        """Return a batch as it is. Free, and retried by the SDK."""
        return self.client.messages.batches.retrieve(batch_id)

    @contextmanager
    def open_results(self, batch_id: str) -> Iterator[Iterator[bytes]]:
        """
        Open the results of an ended batch as a stream of bytes. Free, as often as it is asked.

        Reads the results path of the connection's own host: behind a gateway, ``results_url`` names another.

        :param batch_id: An ended batch.
        """
        import httpx2

        response = self.client.get(
            f"{_BATCHES}/{batch_id}/results",
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=None,
            options={"headers": {"Accept": "application/x-jsonl"}},
        )
        try:
            yield response.iter_bytes()
        finally:
            response.close()


def _refused_or_uncertain(error: APIStatusError, body: BatchBody) -> Exception:
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _ANSWERS_NOTHING:
        return _lost(error, body)
    facts = f"HTTP {status} {error.type or ''}".strip()
    return CreateRefusedError(
        f"The API refused the batch: {facts}{_safe_words(error)} (request-id {error.request_id}). It was "
        "not accepted and nothing is billed.",
        status_code=status,
        error_type=error.type,
        request_id=error.request_id,
    )


def _safe_words(error: APIStatusError) -> str:
    """
    Return the API's message where it speaks of the account, and nothing where it may speak of a request.
    """
    if error.status_code not in _OF_THE_ACCOUNT or not isinstance(error.body, dict):
        return ""
    inner = error.body.get("error")
    message = inner.get("message") if isinstance(inner, dict) else None
    return f": {message}" if isinstance(message, str) else ""


def _lost(error: APIError, body: BatchBody) -> Exception:
    kind = type(error).__name__
    if not body.is_committed:
        return CreateRefusedError(
            f"The connection failed before the body was whole ({kind}): nothing was accepted and nothing is "
            "billed. A retry sends it.",
            status_code=0,
            error_type=None,
            request_id=None,
        )
    return _uncertain(kind)


def _uncertain(what: str) -> SubmissionUncertainError:
    return SubmissionUncertainError(
        f"The whole body went out and the answer is not known ({what}): the API may have accepted the "
        "batch. It is not sent again."
    )
