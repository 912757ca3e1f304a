import pytest

from airflow_provider_claude_batch.core.check_request import (
    Circumstances,
    ModelFacts,
    check_params,
    raise_problems,
)
from airflow_provider_claude_batch.core.row_template import compile_template
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

KNOWN = frozenset(
    {"model", "max_tokens", "messages", "system", "thinking", "tools", "tool_choice", "output_config"}
)
FACTS = {
    "model": "claude-opus-5-5",
    "line": "opus",
    "version": (5, 5),
    "max_tokens": 1000,
    "thinking_types": frozenset({"adaptive"}),
}


def problems_of(*, facts=None, api_version="2026-10-21", betas=(), without=(), **params):
    model = ModelFacts(**{**FACTS, **(facts or {})})
    circumstances = Circumstances(
        known_params=KNOWN, api_version=api_version, betas=betas, models={model.model: model}
    )
    given = {
        "model": model.model,
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "Hi"}],
        **params,
    }
    for name in without:
        del given[name]
    return [str(problem) for problem in check_params(given, circumstances)]


def test_a_request_that_the_api_takes_has_no_problems():
    assert problems_of(system=compile_template("{body}")) == []


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"stream": True}, "$.stream is not supported"),
        ({"speed": "fast"}, "$.speed is not supported"),
        ({"fallbacks": [{}]}, "$.fallbacks is not supported"),
        ({"temperature": 0.5}, "$.temperature is not a parameter of API version 2026-10-21"),
        ({"top_k": 1}, "$.top_k"),
        ({"tempreature": 1}, "$.tempreature is not a parameter of the Messages API"),
        ({"max_tokens": 0}, "$.max_tokens is 0"),
        ({"max_tokens": "9"}, "$.max_tokens is a str"),
        ({"max_tokens": 1001}, "$.max_tokens is 1001, and claude-opus-5-5 answers with at most 1000"),
        ({"without": ["max_tokens"]}, "$.max_tokens is missing"),
        ({"without": ["model"]}, "$.model is missing"),
        ({"messages": []}, "$.messages is empty"),
        ({"messages": [{"role": "user", "content": " "}]}, "$.messages[0].content is empty"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "$.messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            "$.messages[0].content[0].text is empty",
        ),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "{"}]},
            "$.messages[-1] is an assistant turn",
        ),
        ({"thinking": {"type": "enabled"}}, "$.thinking.type is not supported"),
        ({"tool_choice": {"type": "any"}}, "$.tool_choice a forced tool"),
        ({"facts": {"lifecycle": "retired"}}, "$.model claude-opus-5-5 is retired"),
        ({"facts": {"lacks": frozenset({"batch"})}}, "does not serve batches"),
        (
            {"facts": {"lacks": frozenset({"structured_outputs"})}, "output_config": {"format": {}}},
            "$.output_config.format is not supported",
        ),
    ],
)
def test_what_the_api_would_refuse_has_a_path(given, path):
    (problem,) = problems_of(**given)
    assert path in problem


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 0.5, "api_version": "2023-06-01"},
        {"max_tokens": 2000, "betas": ("output-300k-2026-03-24",)},
        {"tool_choice": {"type": "tool"}, "facts": {"version": (5, 0)}},
        {"tool_choice": {"type": "auto"}},
        {"stream": False},
        {"thinking": {"type": "adaptive"}},
        {
            "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "{"}],
            "facts": {"version": (4, 5)},
        },
    ],
)
def test_what_depends_on_the_circumstances_is_left_to_them(given):
    assert problems_of(**given) == []


def test_a_model_that_nothing_is_known_of_is_not_checked():
    circumstances = Circumstances(known_params=KNOWN, api_version="2026-10-21", models={})
    params = {"model": "x", "max_tokens": 10**9, "messages": [{"role": "user", "content": "Hi"}]}
    assert check_params(params, circumstances) == []


def test_all_problems_are_said_at_once():
    circumstances = Circumstances(known_params=KNOWN, api_version="2026-10-21", models={})
    with pytest.raises(ClaudeBatchInputError, match=r"\$\.stream .*\$\.max_tokens .*Nothing was sent"):
        raise_problems(
            check_params({"model": "m", "messages": ["x"], "stream": True}, circumstances), what="it"
        )
