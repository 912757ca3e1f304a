"""Messages answered at once, token counts, the models, and the account's batch limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.emulator.answers import answer, message
from airflow_provider_claude_batch.emulator.call import Call, json_response
from airflow_provider_claude_batch.emulator.check_params import Circumstances, ParamsError, check_params
from airflow_provider_claude_batch.emulator.errors import STATUS_TO_ERROR_TYPE, ApiError, invalid_request
from airflow_provider_claude_batch.emulator.models import MODELS, Model, find_model, model_info
from airflow_provider_claude_batch.emulator.tally import ModelUsage, Tally, usage_by_model
from airflow_provider_claude_batch.emulator.usage import prompt_tokens
from airflow_provider_claude_batch.emulator.wire import JsonObject, encode, new_id

if TYPE_CHECKING:
    from starlette.responses import Response

_STATUS_OF = {error_type: status for status, error_type in STATUS_TO_ERROR_TYPE.items()}
#: Where the store keeps the bill of the messages answered at once.
MESSAGES_BILL = "messages_bill"


async def create_message(call: Call) -> Response:
    """Answer one request at once, at the full price."""
    params = await _params(call)
    if params.get("stream"):
        raise invalid_request("stream: the emulator answers in one piece")
    model = _checked(params, call)
    reply = answer(params, model)
    scope = f"{call.workspace} {model.id}"
    usage = call.batches.cache.use(params, scope=scope, now=call.batches.clock.now())
    value = message(params, reply, usage, message_id=new_id("msg"), tier="standard")
    _bill(call, value)
    return json_response(call, value)


async def count_tokens(call: Call) -> Response:
    """Count the tokens of a prompt by the rule that the bill follows."""
    params = await _params(call)
    _checked({"max_tokens": 1, **params}, call)
    return json_response(call, {"input_tokens": prompt_tokens(params)})


async def list_models(call: Call) -> Response:
    """List the models, all on one page."""
    data = [model_info(model) for model in MODELS]
    return json_response(
        call, {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
    )


async def retrieve_model(call: Call) -> Response:
    """Show one model."""
    model_id = str(call.request.path_params["model_id"])
    model = find_model(model_id)
    if model is None:
        raise ApiError(404, f"model: {model_id}")
    return json_response(call, model_info(model))


async def rate_limits(call: Call) -> Response:
    """Show the limits of the account that concern batches."""
    settings = call.batches.settings
    limits = [
        {"type": "enqueued_batch_requests", "value": settings.queued_requests_allowed},
        {"type": "requests_per_minute", "value": settings.calls_per_minute},
    ]
    return json_response(
        call, {"data": [{"type": "rate_limit", "group_type": "batch", "limits": limits}], "next_page": None}
    )


def messages_bill(encoded: bytes | None) -> list[ModelUsage]:
    """Read the bill of the messages answered at once."""
    return [] if encoded is None else msgspec.json.decode(encoded, type=list[ModelUsage])


async def _params(call: Call) -> JsonObject:
    body = await call.request.body()
    try:
        params = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise invalid_request(f"The request body is not valid JSON: {error}") from None
    if not isinstance(params, dict):
        raise invalid_request("Input should be a valid dictionary")
    return params


def _checked(params: JsonObject, call: Call) -> Model:
    circumstances = Circumstances(call.api_version, call.betas, call.user_profile_id, in_batch=False)
    try:
        return check_params(params, circumstances)
    except ParamsError as error:
        raise ApiError(_STATUS_OF[error.error_type], str(error)) from None


def _bill(call: Call, value: JsonObject) -> None:
    tally = Tally()
    tally.add_message(value)
    store = call.batches.store
    total = usage_by_model([*messages_bill(store.note(MESSAGES_BILL)), *tally.usage])
    store.write_note(MESSAGES_BILL, encode(total))
