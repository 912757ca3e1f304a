"""Builders of requests, with defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    import anthropic

HEADERS = {"authorization": "Bearer sk-ant-test", "anthropic-version": "2026-10-21"}

LABEL_SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["good", "bad"]}, "why": {"type": "string"}},
    "required": ["label", "why"],
    "additionalProperties": False,
}


def params(text: str = "This is a good text.", **changes: Any) -> dict[str, Any]:
    return {
        "model": "claude-haiku-5-5",
        "max_tokens": 256,
        "messages": [{"role": "user", "content": text}],
        **changes,
    }


def requests(count: int = 3, **changes: Any) -> list[Any]:
    return [
        {"custom_id": f"row-{number}", "params": params(f"Text {number} is good.", **changes)}
        for number in range(count)
    ]


def labelled(schema: dict[str, Any] = LABEL_SCHEMA) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def results_by_id(client: anthropic.Anthropic, batch_id: str) -> dict[str, Any]:
    return {line.custom_id: line.result for line in client.messages.batches.results(batch_id)}


def result_lines(url: str, batch_id: str) -> list[bytes]:
    response = httpx2.get(f"{url}/v1/messages/batches/{batch_id}/results", headers=HEADERS)
    response.raise_for_status()
    return response.content.splitlines()


def answer_to(client: anthropic.Anthropic, **changes: Any) -> Any:
    """Return the result of a batch of one."""
    batch = client.messages.batches.create(requests=requests(1, **changes))
    return results_by_id(client, batch.id)["row-0"]
