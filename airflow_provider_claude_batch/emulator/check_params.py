"""
What the API finds wrong with the params of one request.

A call to ``/v1/messages`` gets it as a 400, a request in a batch as an errored line when the batch has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_claude_batch.emulator.models import Model, find_model
from airflow_provider_claude_batch.emulator.usage import prompt_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_claude_batch.emulator.wire import JsonObject

#: From this version on, sampling parameters do not exist. https://platform.claude.com/docs/en/api/versioning.
VERSION_WITHOUT_SAMPLING = "2026-10-21"
LONG_OUTPUT_BETA = "output-300k-2026-03-24"
_LONG_OUTPUT_TOKENS = 300_000
_MIN_THINKING_BUDGET = 1024

_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_FIELDS = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "metadata",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "thinking",
        "tool_choice",
        "tools",
        "user_profile_id",
    }
)
_BETA_FIELDS = frozenset(
    {
        "betas",
        "billing_policy",
        "compaction",
        "context_management",
        "fallback_credit_token",
        "mcp_servers",
        "thread",
    }
)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """
    What besides the params decides whether they are accepted.

    :param in_batch: Whether they came in a batch.
    """

    api_version: str
    betas: tuple[str, ...] = ()
    user_profile_id: str | None = None
    in_batch: bool = True


class ParamsError(ValueError):
    """
    Params that the API refuses.

    :param message: The API's message.
    :param error_type: The API's error type.
    """

    def __init__(self, message: str, error_type: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.error_type = error_type


def check_params(params: JsonObject, circumstances: Circumstances) -> Model:
    """
    Return the model that is to answer ``params``.

    :raises ParamsError: The API would refuse them; the first reason found.
    """
    _check_fields(params, circumstances)
    model = _check_model(params)
    for check in _CHECKS:
        check(params, model, circumstances)
    return model


def _check_fields(params: JsonObject, circumstances: Circumstances) -> None:
    for name in ("model", "max_tokens", "messages"):
        if name not in params:
            raise ParamsError(f"{name}: Field required")
    allowed = _FIELDS | (_BETA_FIELDS if circumstances.betas else frozenset())
    if circumstances.api_version < VERSION_WITHOUT_SAMPLING:
        allowed |= _SAMPLING
    for name in params:
        if name == "fallbacks" and circumstances.in_batch:
            raise ParamsError("fallbacks: not supported in the Message Batches API")
        if name not in allowed:
            raise ParamsError(f"{name}: Extra inputs are not permitted")


def _check_model(params: JsonObject) -> Model:
    if not isinstance(params["model"], str):
        raise ParamsError("model: Input should be a valid string")
    model = find_model(params["model"])
    if model is None:
        raise ParamsError(f"model: {params['model']}", "not_found_error")
    return model


def _check_batch_only(params: JsonObject, _model: Model, circumstances: Circumstances) -> None:
    if not circumstances.in_batch:
        return
    if params.get("stream"):
        raise ParamsError("stream: not supported in the Message Batches API")
    if params.get("speed") is not None:
        raise ParamsError("speed: not supported in the Message Batches API")
    if params["max_tokens"] == 0:
        raise ParamsError("max_tokens: 0 is not supported in the Message Batches API")
    if (params.get("billing_policy") or {}).get("bill_to") == "user_profile":
        raise ParamsError("billing_policy.bill_to: user_profile is not supported in the Message Batches API")
    profile = params.get("user_profile_id")
    if profile and circumstances.user_profile_id and profile != circumstances.user_profile_id:
        raise ParamsError("user_profile_id: does not match the anthropic-user-profile-id header")


def _check_max_tokens(params: JsonObject, model: Model, circumstances: Circumstances) -> None:
    max_tokens = params["max_tokens"]
    if not isinstance(max_tokens, int) or isinstance(max_tokens, bool):
        raise ParamsError("max_tokens: Input should be a valid integer")
    if max_tokens < 0:
        raise ParamsError("max_tokens: Input should be greater than or equal to 0")
    limit = model.max_tokens
    if circumstances.in_batch and LONG_OUTPUT_BETA in circumstances.betas and model.has_long_output:
        limit = _LONG_OUTPUT_TOKENS
    if max_tokens > limit:
        raise ParamsError(
            f"max_tokens: {max_tokens} > {limit}, which is the maximum allowed number of output tokens"
        )


def _check_sampling(params: JsonObject, _model: Model, _circumstances: Circumstances) -> None:
    for name in ("temperature", "top_p"):
        value = params.get(name)
        if value is not None and not (_is_number(value) and 0 <= value <= 1):
            raise ParamsError(f"{name}: range: 0..1")


def _check_system(params: JsonObject, _model: Model, _circumstances: Circumstances) -> None:
    system = params.get("system") or []
    if not isinstance(system, str | list):
        raise ParamsError("system: Input should be a valid list")
    for place, block in enumerate(() if isinstance(system, str) else system):
        if not isinstance(block, dict) or block.get("type") != "text":
            raise ParamsError(f"system.{place}.type: Input should be 'text'")
        if not isinstance(block.get("text"), str):
            raise ParamsError(f"system.{place}.text: Field required")


def _check_messages(params: JsonObject, _model: Model, circumstances: Circumstances) -> None:
    messages = params["messages"]
    if not isinstance(messages, list):
        raise ParamsError("messages: Input should be a valid list")
    if not messages:
        raise ParamsError("messages: at least one message is required")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise ParamsError(f"messages.{index}: Input should be a valid dictionary")
        if message.get("role") not in ("user", "assistant"):
            raise ParamsError(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        if "content" not in message:
            raise ParamsError(f"messages.{index}.content: Field required")
        _check_content(message, index, circumstances)


def _check_content(message: JsonObject, index: int, circumstances: Circumstances) -> None:
    role, content = message["role"], message["content"]
    if isinstance(content, str):
        if not content and role == "user":
            raise ParamsError(f"messages.{index}: user messages must have non-empty content")
        return
    if not isinstance(content, list):
        raise ParamsError(f"messages.{index}.content: Input should be a valid list")
    if not content and role == "user":
        raise ParamsError(f"messages.{index}: user messages must have non-empty content")
    for place, block in enumerate(content):
        path = f"messages.{index}.content.{place}"
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise ParamsError(f"{path}.type: Field required")
        _check_block(block, role, path, circumstances)


def _check_block(block: JsonObject, role: str, path: str, circumstances: Circumstances) -> None:
    if block["type"] == "text":
        if not isinstance(block.get("text"), str):
            raise ParamsError(f"{path}.text.text: Field required")
        if not block["text"]:
            raise ParamsError("messages: text content blocks must be non-empty")
    if circumstances.api_version >= VERSION_WITHOUT_SAMPLING:
        if block["type"] == "document" and role == "assistant":
            raise ParamsError(f"{path}: document blocks are not permitted in assistant messages")
        if block["type"] == "text" and role == "user" and block.get("citations"):
            raise ParamsError(f"{path}.text.citations: Extra inputs are not permitted")


def _check_prefill(params: JsonObject, model: Model, _circumstances: Circumstances) -> None:
    if params["messages"][-1]["role"] == "assistant" and model.refuses_prefill:
        raise ParamsError(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )


def _check_thinking(params: JsonObject, model: Model, _circumstances: Circumstances) -> None:
    thinking = params.get("thinking")
    if thinking is None:
        return
    if not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "disabled", "adaptive"):
        raise ParamsError("thinking.type: Input should be 'enabled', 'disabled' or 'adaptive'")
    if thinking["type"] == "enabled":
        _check_thinking_enabled(thinking, params, model)
    if thinking["type"] == "disabled" and model.always_thinks:
        raise ParamsError('thinking: type "disabled" is not supported for this model.')
    if thinking["type"] == "adaptive" and not model.refuses_prefill:
        raise ParamsError('thinking: type "adaptive" is not supported for this model.')


def _check_thinking_enabled(thinking: JsonObject, params: JsonObject, model: Model) -> None:
    if model.refuses_thinking_enabled:
        raise ParamsError('thinking: type "enabled" is not supported for this model. Use type "adaptive".')
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int):
        raise ParamsError("thinking.enabled.budget_tokens: Field required")
    if budget < _MIN_THINKING_BUDGET:
        raise ParamsError(
            f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_MIN_THINKING_BUDGET}"
        )
    if budget >= params["max_tokens"]:
        raise ParamsError("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_tools(params: JsonObject, model: Model, _circumstances: Circumstances) -> None:
    choice = params.get("tool_choice") or {}
    forced = choice.get("type") in ("any", "tool")
    if forced and model.refuses_forced_tool_choice:
        raise ParamsError('tool_choice: type "tool" and "any" are not supported for this model.')
    names = [tool.get("name") for tool in params.get("tools") or ()]
    if choice and not names:
        raise ParamsError("tool_choice: may only be specified while providing tools")
    if choice.get("type") == "tool" and choice.get("name") not in names:
        raise ParamsError(f"Tool '{choice.get('name')}' not found in provided tools")


def _check_output_config(params: JsonObject, _model: Model, _circumstances: Circumstances) -> None:
    output_format = (params.get("output_config") or {}).get("format")
    if output_format is None:
        return
    if not isinstance(output_format, dict) or output_format.get("type") != "json_schema":
        raise ParamsError("output_config.format.type: Input should be 'json_schema'")
    if not isinstance(output_format.get("schema"), dict):
        raise ParamsError("output_config.format.schema: Field required")


def _check_choices(params: JsonObject, _model: Model, _circumstances: Circumstances) -> None:
    if params.get("service_tier") not in (None, "auto", "standard_only"):
        raise ParamsError("service_tier: Input should be 'auto' or 'standard_only'")
    if params.get("inference_geo") not in (None, "us", "global"):
        raise ParamsError("inference_geo: Input should be 'us' or 'global'")


def _check_window(params: JsonObject, model: Model, _circumstances: Circumstances) -> None:
    tokens = prompt_tokens(params)
    if tokens > model.max_input_tokens:
        raise ParamsError(f"prompt is too long: {tokens} tokens > {model.max_input_tokens} maximum")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CHECKS: tuple[Callable[[JsonObject, Model, Circumstances], None], ...] = (
    _check_max_tokens,
    _check_batch_only,
    _check_sampling,
    _check_system,
    _check_messages,
    _check_prefill,
    _check_thinking,
    _check_tools,
    _check_output_config,
    _check_choices,
    _check_window,
)
