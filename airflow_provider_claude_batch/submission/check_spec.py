"""What the API would refuse in a submission's requests, asked before the query is run. Every call is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.check_request import check_params, raise_problems
from airflow_provider_claude_batch.hooks.model_facts import ask_circumstances

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anthropic import Anthropic

    from airflow_provider_claude_batch.core.check_request import Problem
    from airflow_provider_claude_batch.submission.spec import SubmissionSpec


def check_spec(spec: SubmissionSpec, client: Anthropic) -> Callable[[Mapping[str, object]], list[Problem]]:
    """
    Check what is the same in every request, once, and return the check for what is not.

    :param spec: Of the submission.
    :param client: Of the connection that will send.
    :return: Says what the API would refuse in one request that an author's function made.
    :raises ClaudeBatchInputError: The API would refuse every request. Nothing was sent.
    """
    models = [spec.model] if spec.model else []
    circumstances = ask_circumstances(client, models, betas=spec.betas)
    if spec.params is not None:
        raise_problems(check_params(spec.params, circumstances), what="every request")
    return lambda params: check_params(params, circumstances)
