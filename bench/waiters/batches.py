"""Batches to wait for."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

_BODY = json.dumps(
    {
        "requests": [
            {
                "custom_id": "a",
                "params": {
                    "model": "claude-haiku-5-5",
                    "max_tokens": 5,
                    "messages": [{"role": "user", "content": "Hi"}],
                },
            }
        ]
    }
)
_HEADERS = {
    "x-api-key": "sk-ant-emulator",
    "anthropic-version": "2023-06-01",
    "content-type": "application/json",
}


def create_batches(
    url: str, count: int, *, first_seconds: float | None = None, step_seconds: float = 0.0
) -> list[str]:
    """
    Create batches of one request each and return their ids.

    :param first_seconds: How long the first takes; ``None`` for what the emulator was started with.
    :param step_seconds: How much longer each takes than the one before.
    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    try:
        batch_ids = []
        for number in range(count):
            if first_seconds is not None:
                seconds = json.dumps({"seconds_per_batch": first_seconds + number * step_seconds})
                _ask(connection, "PATCH", "/_emulator/settings", seconds)
            batch_ids.append(_ask(connection, "POST", "/v1/messages/batches", _BODY)["id"])
        return batch_ids
    finally:
        connection.close()


def _ask(connection: http.client.HTTPConnection, method: str, path: str, body: str) -> Any:
    connection.request(method, path, body, _HEADERS)
    return json.load(connection.getresponse())
