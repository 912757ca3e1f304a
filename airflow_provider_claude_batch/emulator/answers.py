"""
Answer a request from its text alone: the same params always get the same answer.

A JSON Schema is filled from the last user turn; so is the input of a tool; otherwise the answer is an
extract.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_claude_batch.emulator.schema_to_instance import schema_to_instance
from airflow_provider_claude_batch.emulator.source_text import SourceText, shortened
from airflow_provider_claude_batch.emulator.usage import InputUsage, block_tokens, text_tokens
from airflow_provider_claude_batch.emulator.wire import JsonObject, derived_id, encode

if TYPE_CHECKING:
    from airflow_provider_claude_batch.emulator.models import Model

_ANSWER_CHARACTERS = 300
_THINKING_CHARACTERS = 120
_BYTES_PER_TOKEN = 4


@dataclass(slots=True)
class Answer:
    """
    What the model says.

    :param blocks: The content, thinking first.
    :param thinking_tokens: The tokens of the thinking, which are in ``output_tokens`` too.
    """

    blocks: list[JsonObject]
    stop_reason: str
    output_tokens: int
    thinking_tokens: int = 0
    stop_sequence: str | None = None


def answer(params: JsonObject, model: Model) -> Answer:
    """Answer ``params``, which have been found right."""
    text = SourceText(_last_user_text(params))
    tool = _tool_to_use(params, text)
    if tool is not None:
        block = {
            "type": "tool_use",
            "id": derived_id("toolu", tool["name"], text.text),
            "name": tool["name"],
            "input": _tool_input(tool, text),
        }
        reply = Answer([block], "tool_use", block_tokens(block))
    else:
        reply = _text_answer(params, text)
    if _thinks(params, model):
        _think(reply, params, text)
    return reply


def message(
    params: JsonObject, reply: Answer, usage: InputUsage, *, message_id: str, tier: str
) -> JsonObject:
    """Return ``reply`` as a Message, every field present."""
    return {
        "model": params["model"],
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "content": reply.blocks,
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
        "stop_details": None,
        "container": None,
        "diagnostics": None,
        "usage": {
            "input_tokens": usage.input_tokens,
            "cache_creation_input_tokens": usage.cache_creation_5m_tokens + usage.cache_creation_1h_tokens,
            "cache_read_input_tokens": usage.cache_read_tokens,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.cache_creation_5m_tokens,
                "ephemeral_1h_input_tokens": usage.cache_creation_1h_tokens,
            },
            "output_tokens": reply.output_tokens,
            "output_tokens_details": {"thinking_tokens": reply.thinking_tokens},
            "server_tool_use": None,
            "service_tier": tier,
            "inference_geo": params.get("inference_geo") or "global",
            "speed": None,
        },
    }


def _last_user_text(params: JsonObject) -> str:
    """Return the texts of the last user turn; of an image or a binary document there is nothing to say."""
    turn = next((m for m in reversed(params["messages"]) if m["role"] == "user"), {"content": ""})
    return "\n".join(_texts(turn["content"]))


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    texts = []
    for block in content or ():
        if block["type"] == "text":
            texts.append(block["text"])
        elif block["type"] == "document" and (block.get("source") or {}).get("type") == "text":
            texts.append(block["source"]["data"])
        elif block["type"] == "tool_result":
            texts.extend(_texts(block.get("content")))
    return texts


def _tool_to_use(params: JsonObject, text: SourceText) -> JsonObject | None:
    """Return the tool to call: the one named, or the one whose words overlap the text most."""
    choice = params.get("tool_choice") or {"type": "auto"}
    tools: list[JsonObject] = [tool for tool in params.get("tools") or () if "input_schema" in tool]
    if choice["type"] == "none" or not tools:
        return None
    if choice["type"] == "tool":
        return next((tool for tool in tools if tool["name"] == choice["name"]), None)
    last = params["messages"][-1]["content"]
    has_result = not isinstance(last, str) and any(block["type"] == "tool_result" for block in last)
    if choice["type"] == "auto" and has_result:
        return None
    return max(tools, key=lambda tool: text.overlap(f"{tool['name']} {tool.get('description', '')}"))


def _tool_input(tool: JsonObject, text: SourceText) -> JsonObject:
    value = schema_to_instance({"type": "object", **tool["input_schema"]}, text)
    return value if isinstance(value, dict) else {}


def _text_answer(params: JsonObject, text: SourceText) -> Answer:
    output_format = (params.get("output_config") or {}).get("format")
    if output_format:
        said = encode(schema_to_instance(output_format["schema"], text)).decode()
    else:
        said = shortened(" ".join(text.sentences), _ANSWER_CHARACTERS) or "There is no text to answer."
    stop_reason, stop_sequence = "end_turn", None
    for sequence in params.get("stop_sequences") or ():
        if sequence in said:
            said, stop_reason, stop_sequence = said.split(sequence, 1)[0], "stop_sequence", sequence
    max_bytes = params["max_tokens"] * _BYTES_PER_TOKEN
    if len(said.encode()) > max_bytes:
        said = said.encode()[:max_bytes].decode(errors="ignore")
        stop_reason, stop_sequence = "max_tokens", None
    return Answer(
        [{"type": "text", "text": said, "citations": None}],
        stop_reason,
        max(1, text_tokens(said)),
        stop_sequence=stop_sequence,
    )


def _thinks(params: JsonObject, model: Model) -> bool:
    thinking = params.get("thinking")
    if thinking is None:
        return model.always_thinks
    return bool(thinking["type"] != "disabled")


def _think(reply: Answer, params: JsonObject, text: SourceText) -> None:
    """Put a thinking block before ``reply`` and count it."""
    thought = "The text begins: " + shortened(text.subject, _THINKING_CHARACTERS)
    tokens = text_tokens(thought)
    if (params.get("thinking") or {}).get("display") == "omitted":
        thought = ""
    signature = base64.b64encode(hashlib.sha256(text.text.encode("utf-8", "surrogatepass")).digest()).decode()
    reply.blocks.insert(0, {"type": "thinking", "thinking": thought, "signature": signature})
    reply.thinking_tokens = tokens
    reply.output_tokens += tokens
