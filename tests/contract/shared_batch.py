"""The requests of the one batch that all tests about results share, and what must become of each."""

from __future__ import annotations

from typing import Any

HAIKU, OPUS, FABLE = "claude-haiku-5-5", "claude-opus-5-5", "claude-fable-5-2"
OLD_HAIKU = "claude-haiku-4-5"
USER_TURN = {"role": "user", "content": "Say yes."}
TOOL = {"name": "answer", "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}}}
LABEL_SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["label"],
    "additionalProperties": False,
}
DOCUMENT = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "Some text."},
}


def params(**changes: Any) -> dict[str, Any]:
    return {"model": HAIKU, "max_tokens": 16, "messages": [USER_TURN], **changes}


#: Requests that succeed.
SUCCEEDING: dict[str, dict[str, Any]] = {
    "plain": params(),
    "another-model": params(model=OPUS, max_tokens=2000),
    "schema": params(
        max_tokens=64,
        output_config={"format": {"type": "json_schema", "schema": LABEL_SCHEMA}, "effort": "low"},
    ),
    "us": params(inference_geo="us"),
    "standard-only": params(service_tier="standard_only"),
    "thinking": params(model=OLD_HAIKU, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}),
    "forced-tool": params(max_tokens=64, tools=[TOOL], tool_choice={"type": "tool", "name": "answer"}),
    "document": params(
        messages=[{"role": "user", "content": [DOCUMENT, {"type": "text", "text": "What is it?"}]}]
    ),
    "prefill": params(model=OLD_HAIKU, messages=[USER_TURN, {"role": "assistant", "content": "I say"}]),
    "cached": params(
        system=[{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    ),
}

#: Requests that become errored lines: their params, the error type, and the message where it is documented.
FAILING: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "temperature": (
        params(temperature=0.5),
        "invalid_request_error",
        "temperature: Extra inputs are not permitted",
    ),
    "top-p": (params(top_p=0.5), "invalid_request_error", "top_p: Extra inputs are not permitted"),
    "top-k": (params(top_k=5), "invalid_request_error", "top_k: Extra inputs are not permitted"),
    "unknown-field": (params(store=True), "invalid_request_error", "store: Extra inputs are not permitted"),
    "no-messages": (params(messages=[]), "invalid_request_error", None),
    "no-max-tokens": (
        {"model": HAIKU, "messages": [USER_TURN]},
        "invalid_request_error",
        "max_tokens: Field required",
    ),
    "too-many-tokens": (
        params(max_tokens=900_000),
        "invalid_request_error",
        "max_tokens: 900000 > 64000, which is the maximum allowed number of output tokens",
    ),
    "unknown-model": (params(model="claude-none-1"), "not_found_error", None),
    "stream": (params(stream=True), "invalid_request_error", None),
    "speed": (params(speed="fast"), "invalid_request_error", None),
    "zero-tokens": (params(max_tokens=0), "invalid_request_error", None),
    "fallbacks": (params(fallbacks=[{"model": OPUS}]), "invalid_request_error", None),
    "new-prefill": (
        params(messages=[USER_TURN, {"role": "assistant", "content": "I say"}]),
        "invalid_request_error",
        None,
    ),
    "new-thinking": (
        params(max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}),
        "invalid_request_error",
        None,
    ),
    "no-thinking": (params(model=OPUS, thinking={"type": "disabled"}), "invalid_request_error", None),
    "no-thinking-fable": (params(model=FABLE, thinking={"type": "disabled"}), "invalid_request_error", None),
    "forced-tool-opus": (
        params(model=OPUS, tools=[TOOL], tool_choice={"type": "tool", "name": "answer"}),
        "invalid_request_error",
        'tool_choice: type "tool" and "any" are not supported for this model.',
    ),
    "any-tool-fable": (
        params(model=FABLE, tools=[TOOL], tool_choice={"type": "any"}),
        "invalid_request_error",
        'tool_choice: type "tool" and "any" are not supported for this model.',
    ),
    "assistant-document": (
        params(messages=[USER_TURN, {"role": "assistant", "content": [DOCUMENT]}, USER_TURN]),
        "invalid_request_error",
        None,
    ),
    "user-citations": (
        params(
            messages=[
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "text",
                            "text": "Say yes.",
                            "citations": [
                                {
                                    "type": "char_location",
                                    "cited_text": "x",
                                    "document_index": 0,
                                    "document_title": None,
                                    "start_char_index": 0,
                                    "end_char_index": 1,
                                }
                            ],
                        }
                    ],
                }
            ]
        ),
        "invalid_request_error",
        None,
    ),
    "bad-tier": (params(service_tier="gold"), "invalid_request_error", None),
}

SHARED_REQUESTS: list[Any] = [
    {"custom_id": custom_id, "params": one}
    for custom_id, one in [*SUCCEEDING.items(), *((name, case[0]) for name, case in FAILING.items())]
]
