"""Batches to wait for."""

from __future__ import annotations

import http.client
import json
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


def create_batches(url: str, count: int) -> list[str]:
    """Create batches of one request each and return their ids."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    batch_ids = []
    try:
        for _ in range(count):
            connection.request("POST", "/v1/messages/batches", _BODY, _HEADERS)
            batch_ids.append(json.load(connection.getresponse())["id"])
    finally:
        connection.close()
    return batch_ids
