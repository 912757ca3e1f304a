"""What the API would refuse in a submission's requests, asked before the query is run. Every call is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.check_request import (
    Problem,
    check_params,
    is_model_id,
    raise_problems,
)
from airflow_provider_claude_batch.core.did_you_mean import did_you_mean
from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.hooks.model_facts import (
    MAX_MODELS,
    ModelCatalog,
    to_circumstances,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anthropic import Anthropic

    from airflow_provider_claude_batch.submission.spec import SubmissionSpec


def check_spec(spec: SubmissionSpec, client: Anthropic) -> Callable[[Mapping[str, object]], list[Problem]]:
    """
    Check what is the same in every request, once, and return the check for what is not.

    :param spec: Of the submission.
    :param client: Of the connection that will send.
    :return: Says what the API would refuse in one request that an author's function made; asks about each
        model once, when a request names it first.
    :raises ClaudeBatchInputError: The API would refuse every request. Nothing was sent.
    """
    catalog = ModelCatalog(client)
    circumstances = to_circumstances(client, catalog, betas=spec.betas)
    if is_model_id(spec.model):
        catalog.ask(spec.model)
    if spec.model in catalog.unknown:
        raise ClaudeBatchInputError(
            f"model={spec.model!r}: the API knows no such model (request-id {catalog.unknown[spec.model]})."
            f"{did_you_mean([spec.model], catalog.list_ids())} Nothing was sent."
        )
    if spec.params is not None:
        raise_problems(check_params(spec.params, circumstances), what="every request")

    def check(params: Mapping[str, object]) -> list[Problem]:
        model = params.get("model")
        if is_model_id(model) and not catalog.ask(model):
            return [Problem("$.model", f"differs from {MAX_MODELS} other models that requests have named")]
        return check_params(params, circumstances)

    return check
