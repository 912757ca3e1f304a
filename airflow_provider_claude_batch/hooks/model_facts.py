"""What the API and the SDK say of models and parameters, for :mod:`~..core.check_request`. Free to ask."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.check_request import Circumstances, ModelFacts
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anthropic import Anthropic
    from anthropic.types import ModelInfo

_VERSION = re.compile(r"-(\d{1,2})(?:-(\d{1,2}))?(?:-|$)")
_CHECKED_CAPABILITIES = ("batch", "structured_outputs", "image_input", "pdf_input")


def ask_circumstances(client: Anthropic, models: Iterable[str], *, betas: Sequence[str]) -> Circumstances:
    """
    Ask the API about models, one free call each.

    A model is left out where the API cannot be asked, as behind a gateway that serves no list of models.

    :param client: Of the connection that will send.
    :param models: Model ids.
    :param betas: Values of the header ``anthropic-beta``.
    :raises ClaudeBatchInputError: The API knows no such model.
    """
    facts = {model: found for model in models if (found := _ask(client, model)) is not None}
    return Circumstances(
        known_params=_known_params(),
        api_version=str(client.default_headers["anthropic-version"]),
        betas=tuple(betas),
        models=facts,
    )


def _ask(client: Anthropic, model: str) -> ModelFacts | None:
    from anthropic import APIError, NotFoundError

    try:
        return to_facts(client.models.retrieve(model))
    except NotFoundError as error:
        if error.type != "not_found_error":
            return None
        raise ClaudeBatchInputError(
            f"The API knows no model {model!r} (request-id {error.request_id}). Nothing was sent."
        ) from None
    except APIError:
        return None


def to_facts(info: ModelInfo) -> ModelFacts:
    """Return what matters of a model to whoever sends batches to it."""
    match = _VERSION.search(info.id)
    capabilities = info.capabilities
    types = capabilities.thinking.types if capabilities else None
    return ModelFacts(
        model=info.id,
        lifecycle=info.lifecycle,
        line=info.line,
        version=(int(match[1]), int(match[2] or 0)) if match else None,
        max_tokens=info.max_tokens,
        lacks=frozenset(
            name
            for name in _CHECKED_CAPABILITIES
            if capabilities and not getattr(capabilities, name).supported
        ),
        thinking_types=frozenset(
            name for name, support in (types.to_dict().items() if types else ()) if _is_supported(support)
        ),
    )


def _is_supported(support: object) -> bool:
    return isinstance(support, dict) and bool(support.get("supported"))


def _known_params() -> frozenset[str]:
    from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming as Beta
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as Stable

    return frozenset(Stable.__annotations__) | frozenset(Beta.__annotations__)
