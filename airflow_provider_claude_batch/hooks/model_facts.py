"""What the API and the SDK say of models and parameters, for :mod:`~..core.check_request`. Free to ask."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.check_request import Circumstances, ModelFacts
from airflow_provider_claude_batch.hooks.answers import parsed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anthropic import Anthropic
    from anthropic.types import ModelInfo

_VERSION = re.compile(r"-(\d{1,2})(?:-(\d{1,2}))?(?:-|$)")

#: Models that one submission asks about, at most: more are no models, but texts that were taken for them.
MAX_MODELS = 100

_CHECKED_CAPABILITIES = ("batch", "structured_outputs", "image_input", "pdf_input")


class ModelCatalog:
    """
    What the API says of models, one free call for each that is asked about.

    Nothing is known of a model where the API cannot be asked, as behind a gateway that serves no list of
    models.

    :param client: Of the connection that will send.
    """

    def __init__(self, client: Anthropic) -> None:
        self._client = client
        self._asked: set[str] = set()
        self.facts: dict[str, ModelFacts] = {}
        #: Ids that the API does not know, with the request-id of its answer.
        self.unknown: dict[str, str | None] = {}

    def ask(self, model: str) -> bool:
        """Ask about a model that was not asked about; ``False`` where :data:`MAX_MODELS` others were."""
        from anthropic import APIError, NotFoundError
        from anthropic.types import ModelInfo

        if model in self._asked:
            return True
        if len(self._asked) >= MAX_MODELS:
            return False
        self._asked.add(model)
        try:
            answer = self._client.models.with_raw_response.retrieve(model)
            self.facts[model] = to_facts(parsed(answer, ModelInfo, id=str))
        except NotFoundError as error:
            if error.type == "not_found_error":
                self.unknown[model] = error.request_id
        except APIError:
            pass
        return True

    def list_ids(self) -> list[str]:
        """Return the ids of the API's models, or none where it lists none, as behind some gateways."""
        from anthropic import APIError
        from anthropic.pagination import SyncPage
        from anthropic.types import ModelInfo

        try:
            page = parsed(
                self._client.models.with_raw_response.list(limit=1000), SyncPage[ModelInfo], data=list
            )
            return [model.id for model in page.data if isinstance(getattr(model, "id", None), str)]
        except APIError:
            return []


def to_circumstances(client: Anthropic, catalog: ModelCatalog, *, betas: Sequence[str]) -> Circumstances:
    """
    Return what decides whether the API takes a request; the catalog's models may grow afterwards.

    :param client: Of the connection that will send.
    :param betas: Values of the header ``anthropic-beta``.
    """
    return Circumstances(
        known_params=_known_params(),
        api_version=str(client.default_headers["anthropic-version"]),
        betas=tuple(betas),
        models=catalog.facts,
        unknown_models=catalog.unknown.keys(),
    )


def to_facts(info: ModelInfo) -> ModelFacts:
    """
    Return what matters of a model to whoever sends batches to it.

    :param info: With the ``id``; what else is not as the API says it is not known.
    """
    said = info.to_dict(warnings=False)
    match = _VERSION.search(info.id)
    line, max_tokens = said.get("line"), said.get("max_tokens")
    capabilities = _object(said.get("capabilities"))
    thinking_types = _object(_object(capabilities.get("thinking")).get("types"))
    return ModelFacts(
        model=info.id,
        lifecycle=str(said.get("lifecycle") or "active"),
        line=line if isinstance(line, str) else None,
        version=(int(match[1]), int(match[2] or 0)) if match else None,
        max_tokens=max_tokens if isinstance(max_tokens, int) else None,
        lacks=frozenset(
            name
            for name in _CHECKED_CAPABILITIES
            if _object(capabilities.get(name)).get("supported") is False
        ),
        thinking_types=frozenset(
            name for name, support in thinking_types.items() if _object(support).get("supported")
        ),
    )


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _known_params() -> frozenset[str]:
    from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming as Beta
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as Stable

    return frozenset(Stable.__annotations__) | frozenset(Beta.__annotations__)
