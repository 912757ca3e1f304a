"""Asynchronous clients, opened so that the triggerer of every Airflow lives on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from airflow.providers.anthropic.hooks.anthropic import AnthropicHook
    from anthropic import AsyncAnthropic

#: An event loop does not hold its tasks.
_HELD: set[asyncio.Task[Any]] = set()


async def open_async_client(official: Callable[[], AnthropicHook]) -> AsyncAnthropic:
    """
    Return a new client; the caller closes it.

    Airflow 3.1's triggerer reads its supervisor's answers in their order, and ends where one is left unread:
    a lookup of the connection that has begun is not given up with the trigger that wants it. The client that
    nobody wants any more is closed.

    :param official: Returns the hook that knows the connection; may take long.
    """
    opening = _held(_open(official))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unused)
        raise


async def _open(official: Callable[[], AnthropicHook]) -> AsyncAnthropic:
    from asgiref.sync import sync_to_async

    # Importing the SDK takes seconds, in which an event loop would stand still; and on Python 3.11 the
    # first read of `platform` takes a lock that a thread of the official trigger may hold while it waits
    # for this loop. Not by asyncio's own threads: a thread that does not know this loop asks Airflow 3.1
    # for the connection by another one, and a triggerer that asks for something else meanwhile ends.
    hook = await sync_to_async(official, thread_sensitive=False)()
    await sync_to_async(lambda: hook.platform, thread_sensitive=False)()
    return cast("AsyncAnthropic", await hook.get_async_conn())


def _close_unused(opening: asyncio.Task[AsyncAnthropic]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        _held(close_quietly(opening.result()))


async def close_quietly(client: AsyncAnthropic | None) -> None:
    """Close a client; what it fails with is nobody's trouble."""
    if client is not None:
        await asyncio.gather(client.close(), return_exceptions=True)


def _held(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.create_task(work)
    _HELD.add(task)
    task.add_done_callback(_HELD.discard)
    return task
