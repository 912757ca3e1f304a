"""The endpoints beside the batches that a batch pipeline uses."""

from __future__ import annotations

import anthropic
import pytest

from tests.contract.shared_batch import params


def test_a_message_is_answered_at_once(api):
    message = api.client.messages.create(**params())
    assert message.usage.service_tier == "standard"
    assert message.content


def test_tokens_are_counted(api):
    assert (
        api.client.messages.count_tokens(model=params()["model"], messages=params()["messages"]).input_tokens
        > 0
    )


def test_the_models_are_listed(api):
    assert "claude-haiku-5-5" in {model.id for model in api.client.models.list()}


def test_a_model_is_shown(api):
    model = api.client.models.retrieve("claude-haiku-5-5")
    assert model.capabilities.batch.supported is True


def test_a_message_with_wrong_params_is_refused_at_once(api):
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs are not permitted"):
        api.client.messages.create(**params(), extra_body={"temperature": 0.5})


def test_a_message_for_an_unknown_model_is_not_found(api):
    with pytest.raises(anthropic.NotFoundError):
        api.client.messages.create(**params(model="claude-none-1"))
