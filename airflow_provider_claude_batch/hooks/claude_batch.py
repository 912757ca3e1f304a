"""
The Message Batches API behind an Airflow connection.

The connection, its form and its clients are the official Anthropic provider's; this hook adds what batches
need: a create that is sent exactly once, and results as raw lines. Nothing here decides what an answer means.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseHook

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.hooks.answers import parsed_batch
from airflow_provider_claude_batch.hooks.async_client import open_async_client
from airflow_provider_claude_batch.hooks.listing import list_batches
from airflow_provider_claude_batch.hooks.refusals import lost, refused_or_uncertain, uncertain
from airflow_provider_claude_batch.hooks.result_stream import (
    Patience,
    blocks_to_dicts,
    ended_batch,
    read_results,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from airflow.providers.anthropic.hooks.anthropic import AnthropicHook
    from anthropic import Anthropic, AsyncAnthropic
    from anthropic.types.messages import MessageBatch

    from airflow_provider_claude_batch.hooks.batch_body import BatchBody
    from airflow_provider_claude_batch.hooks.listing import Listing

_BATCHES = "/v1/messages/batches"

#: Of the SDK, where the connection gives none.
_SDK_TIMEOUT_SECONDS = 600.0


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

    @cached_property
    def max_queued_requests(self) -> int | None:
        """The connection's extra of that name: requests that its workspace's queue takes; or ``None``."""
        extra = self.get_connection(self.claude_conn_id).extra_dejson.get("max_queued_requests")
        if extra is None:
            return None
        try:
            return int(extra)
        except (TypeError, ValueError) as error:
            raise ClaudeBatchInputError(
                f"claude_conn_id {self.claude_conn_id!r}: the extra max_queued_requests is not a number. "
                "Nothing was sent."
            ) from error

    @property
    def create_timeout_seconds(self) -> float:
        """How long the client waits for the answer to a create."""
        timeout = self.client.timeout
        seconds = timeout if isinstance(timeout, float | int) else getattr(timeout, "read", None)
        return _SDK_TIMEOUT_SECONDS if seconds is None else float(seconds)

    async def get_async_conn(self) -> AsyncAnthropic:
        """Return a new asynchronous client; the caller closes it."""
        return await open_async_client(lambda: self._official)

    def test_connection(self) -> tuple[bool, str]:
        """Ask for one page of batches: free, and needs what a submission needs."""
        from anthropic import APIError

        try:
            self.list_batches()
        except (ClaudeBatchInputError, APIError) as error:
            return False, str(error)
        return True, "The Message Batches API answers."

    def list_batches(self, *, back_to: datetime | None = None) -> Listing:
        """
        Return the batches of the workspace, newest first, back to all that may still run. Free.

        :param back_to: And back to this time.
        """
        return list_batches(self.client, back_to=back_to)

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
            raise lost(error, body) from None
        except anthropic.APIStatusError as error:
            # The SDK's message may quote a request: it is neither repeated nor chained.
            raise refused_or_uncertain(error, body) from None
        except anthropic.APIError as error:
            raise lost(error, body) from None
        except (ValueError, RecursionError):
            # What is said to be JSON and is none; its words are not repeated.
            raise uncertain("an answer that is no JSON") from None
        if not isinstance(batch, MessageBatch) or not _is_whole(batch):
            # A gateway that answers 200 with something of its own; the SDK builds a batch of anything.
            raise uncertain("an answer that is no batch")
        return batch

    def retrieve_batch(self, batch_id: str) -> MessageBatch:
        """
        Return a batch as it is. Free, and retried by the SDK.

        :param batch_id: Of any batch of the workspace.
        :raises anthropic.APIError: The API cannot be asked, or has no such batch.
        """
        return parsed_batch(self.client.messages.batches.with_raw_response.retrieve(batch_id))

    def cancel_batch(self, batch_id: str) -> MessageBatch:
        """
        Ask the API to cancel a batch; what it has answered until then is billed and can be read.

        :param batch_id: A batch that is in progress.
        :raises anthropic.APIError: The API cannot be asked, or the batch has ended.
        """
        return parsed_batch(self.client.messages.batches.with_raw_response.cancel(batch_id))

    def delete_batch(self, batch_id: str) -> bool:
        """
        Delete an ended batch and its results at Anthropic.

        :param batch_id: A batch that has ended.
        :raises anthropic.APIError: The API cannot be asked, or the batch has not ended.
        :return: Whether it was there.
        """
        from anthropic import NotFoundError

        try:
            self.client.messages.batches.delete(batch_id)
        except NotFoundError:
            return False
        return True

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

    def iter_results(self, batch_id: str) -> Iterator[dict[str, Any]]:
        """
        Yield the results of an ended batch as the API sends them, one object for each request, in any order.

        Whatever breaks on the way is read again, so that each comes once. A lone surrogate in a text becomes
        U+FFFD. In memory: a block of lines.

        :param batch_id: Of any batch of the workspace, whoever made it.
        :raises BatchNotEndedError: It is still processing; nothing is yielded.
        :raises ClaudeBatchInputError: The workspace has no such batch, or its results are gone.
        :raises ResultsIncompleteError: In the end, there are not as many as the batch counts.
        """
        patience = Patience()
        batch = ended_batch(self, batch_id, patience=patience)
        return blocks_to_dicts(read_results(self, batch, patience=patience), batch_id=batch_id)

    def results_df(self, batch_id: str, output_schema: object = None) -> pd.DataFrame:
        """
        Return the results of an ended batch as a DataFrame, one row for each request, all in memory.

        The columns are those of the Parquet without the row's own: the answer's, typed, then ours. Costs are
        list prices. Whole numbers and booleans that may be null are of pandas' nullable types.

        :param batch_id: Of any batch of the workspace, whoever made it.
        :param output_schema: Of the answers, as a submit task takes it.
        :raises BatchNotEndedError: The batch is still processing.
        :raises ClaudeBatchInputError: The workspace has no such batch, or its results are gone.
        :raises ResultsIncompleteError: There are not as many as the batch counts.
        """
        import pyarrow as pa

        from airflow_provider_claude_batch.core.foreign_results_to_arrow import (
            foreign_results_to_arrow,
            foreign_schema,
            table_to_pandas,
        )
        from airflow_provider_claude_batch.core.output_schema import to_json_schema
        from airflow_provider_claude_batch.core.prices import PriceList
        from airflow_provider_claude_batch.core.results_to_arrow import LineCounts

        json_schema = None if output_schema is None else to_json_schema(output_schema)
        patience = Patience()
        batch = ended_batch(self, batch_id, patience=patience)
        rows = foreign_results_to_arrow(
            read_results(self, batch, patience=patience),
            batch_id=batch_id,
            json_schema=json_schema,
            counts=LineCounts(),
            price_list=PriceList.at(batch.created_at),
        )
        return table_to_pandas(pa.Table.from_batches(rows, foreign_schema(json_schema)))


def _is_whole(batch: MessageBatch) -> bool:
    return isinstance(batch.id, str) and bool(batch.id) and isinstance(batch.created_at, datetime)
