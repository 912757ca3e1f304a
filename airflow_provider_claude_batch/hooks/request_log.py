"""The HTTP client's own log lines, one for each request, where many requests say nothing new."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_is_quiet: ContextVar[bool] = ContextVar("claude_batch_is_quiet", default=False)


@contextmanager
def no_line_a_request() -> Iterator[None]:
    """Keep the HTTP client's line for every request of this thread or coroutine out of the log."""
    logging.getLogger("httpx2").addFilter(_is_wanted)
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def _is_wanted(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not _is_quiet.get()
