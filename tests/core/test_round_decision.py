"""Which rows go again is decided by what is known of them, and by nothing else."""

import pytest

from airflow_provider_claude_batch.core.round_decision import (
    RowResult,
    grown_max_tokens,
    is_lack_of_credit,
    next_step,
)


@pytest.mark.parametrize("outcome", ["expired", "canceled", "missing"])
def test_what_was_not_answered_goes_again_as_it_was(outcome):
    assert next_step(RowResult(outcome=outcome)) == "again"


@pytest.mark.parametrize(
    "error_type", ["overloaded_error", "api_error", "rate_limit_error", "a_new_error", None]
)
def test_an_error_that_passes_goes_again(error_type):
    assert next_step(RowResult(outcome="errored", error_type=error_type)) == "again"


@pytest.mark.parametrize(
    "error_type",
    [
        "invalid_request_error",
        "permission_error",
        "authentication_error",
        "not_found_error",
        "request_too_large",
    ],
)
def test_an_error_that_stays_does_not_go_again(error_type):
    assert next_step(RowResult(outcome="errored", error_type=error_type)) == "stays"


@pytest.mark.parametrize("outcome", ["ok", "refused", "rejected"])
def test_an_answer_that_cannot_improve_does_not_go_again(outcome):
    assert next_step(RowResult(outcome=outcome)) == "stays"


def test_an_answer_cut_at_max_tokens_goes_with_more_of_them():
    assert next_step(RowResult(outcome="truncated", stop_reason="max_tokens")) == "larger"


@pytest.mark.parametrize("stop_reason", ["pause_turn", "model_context_window_exceeded", None])
def test_an_answer_cut_elsewhere_is_not_helped_by_more_tokens(stop_reason):
    assert next_step(RowResult(outcome="truncated", stop_reason=stop_reason)) == "stays"


def test_an_answer_that_does_not_fit_goes_once_more_and_not_twice():
    assert next_step(RowResult(outcome="invalid_output")) == "again"
    assert next_step(RowResult(outcome="invalid_output", previous_outcome="errored")) == "again"
    assert next_step(RowResult(outcome="invalid_output", previous_outcome="invalid_output")) == "stays"


def test_lack_of_credit_is_seen_in_the_type_and_in_the_words():
    assert is_lack_of_credit("billing_error", None)
    assert is_lack_of_credit("invalid_request_error", "Your credit balance is too low to access the API.")
    assert not is_lack_of_credit("invalid_request_error", "messages: at least one message is required")


def test_max_tokens_grows_up_to_the_limit_of_the_model():
    assert grown_max_tokens(512, factor=2.0, limit=None) == 1024
    assert grown_max_tokens(512, factor=2.0, limit=600) == 600
    assert grown_max_tokens(600, factor=2.0, limit=600) is None
    assert grown_max_tokens(512, factor=1.0, limit=None) is None
