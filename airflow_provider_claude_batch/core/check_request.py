"""
What the API would refuse in a request, said before it is paid for, each with a path into ``params``.

The API checks ``params`` only while a batch is processed: without this, a wrong parameter comes back hours
later as one errored line for every row. Which parameters exist and what a model can do is given by the
caller.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from airflow_provider_claude_batch.errors import ClaudeBatchInputError

#: Parameters that batches do not take, with the reason.
#: https://platform.claude.com/docs/en/build-with-claude/batch-processing, read 2026-09-26.
_NOT_IN_BATCHES = {
    "stream": "results of a batch are not streamed",
    "speed": "batches have no speed",
    "fallbacks": "batches have no server-side fallbacks",
    "store": "batches do not store conversations",
}

#: Ids of the API, of the platforms, and of gateways.
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}")

#: Gone with the API version 2026-10-21. https://platform.claude.com/docs/en/api/versioning, read 2026-11-22.
_SAMPLING = ("temperature", "top_p", "top_k")
_FIRST_VERSION_WITHOUT_SAMPLING = "2026-10-21"

#: Models that refuse to be made to use a tool: lines and the version from which on.
#: https://platform.claude.com/docs/en/api/errors, read 2026-11-22.
_REFUSE_FORCED_TOOL = {"opus": (5, 5), "fable": (5, 1), "mythos": (5, 1)}
_FIRST_WITHOUT_PREFILL = (4, 6)

#: With this beta, batches of the models that have it may answer with so many tokens.
#: https://platform.claude.com/docs/en/build-with-claude/batch-processing, read 2026-09-26.
_LONG_OUTPUT_BETA = "output-300k-2026-03-24"
_LONG_OUTPUT_TOKENS = 300_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """
    What ``GET /v1/models/{id}`` says of a model; ``None`` and empty where it says nothing.

    :param lifecycle: ``active``, ``deprecated`` or ``retired``.
    :param line: Such as ``opus``.
    :param version: Such as ``(5, 5)``, read from the id.
    :param max_tokens: Most tokens that an answer may have.
    :param lacks: Names of capabilities that the model is said not to have.
    :param thinking_types: Values of ``thinking.type`` that it takes.
    """

    model: str
    lifecycle: str = "active"
    line: str | None = None
    version: tuple[int, int] | None = None
    max_tokens: int | None = None
    lacks: frozenset[str] = frozenset()
    thinking_types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """
    What decides, besides the request, whether the API takes it.

    :param known_params: Names of the parameters that the SDK's types know.
    :param api_version: Value of the header ``anthropic-version``.
    :param betas: Values of the header ``anthropic-beta``.
    :param models: Facts by model id; a model that is not in it is not checked.
    :param unknown_models: Ids that the API said it does not know.
    """

    known_params: frozenset[str]
    api_version: str
    betas: tuple[str, ...] = ()
    models: Mapping[str, ModelFacts]
    unknown_models: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where in ``params``."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def check_params(params: Mapping[str, object], circumstances: Circumstances) -> list[Problem]:
    """
    Return everything that the API would refuse in ``params``, as far as it can be known before.

    :param params: Of one request, JSON values; strings may be row templates that are not filled yet.
    """
    return [
        *_check_names(params, circumstances),
        *_check_max_tokens(params, circumstances),
        *_check_messages(params),
        *_check_model(params, circumstances.models.get(str(params.get("model")))),
        *_check_model_id(params.get("model"), circumstances.unknown_models),
    ]


def raise_problems(problems: Collection[Problem], *, what: str) -> None:
    """
    Raise where there are problems.

    :param what: What was checked, for the message.
    :raises ClaudeBatchInputError: Names them all.
    """
    if problems:
        raise ClaudeBatchInputError(
            f"The API would refuse {what}: {'; '.join(map(str, problems))}. Nothing was sent."
        )


def _check_names(params: Mapping[str, object], circumstances: Circumstances) -> Iterator[Problem]:
    for name, value in params.items():
        if name in _NOT_IN_BATCHES and value not in (None, False):
            yield Problem(f"$.{name}", f"is not supported: {_NOT_IN_BATCHES[name]}")
        elif name in _SAMPLING:
            if circumstances.api_version >= _FIRST_VERSION_WITHOUT_SAMPLING:
                yield Problem(f"$.{name}", f"is not a parameter of API version {circumstances.api_version}")
        elif name not in circumstances.known_params and name not in _NOT_IN_BATCHES:
            yield Problem(f"$.{name[:64]}", "is not a parameter of the Messages API")
    if not params.get("messages"):
        yield Problem("$.messages", "is empty")


def _check_model_id(model: object, unknown: Collection[str]) -> Iterator[Problem]:
    # An id is not quoted: a function of the author's may have taken it from a row.
    if not model:
        yield Problem("$.model", "is missing")
    elif not is_model_id(model):
        yield Problem("$.model", "is not the id of a model")
    elif model in unknown:
        yield Problem("$.model", "is a model that the API does not know")


def is_model_id(model: object) -> TypeGuard[str]:
    """Say whether a value can be a model's id, and so whether the API can be asked about it."""
    return isinstance(model, str) and _MODEL_ID.fullmatch(model) is not None


def _check_max_tokens(params: Mapping[str, object], circumstances: Circumstances) -> Iterator[Problem]:
    max_tokens = params.get("max_tokens")
    if max_tokens is None:
        yield Problem("$.max_tokens", "is missing")
    elif not isinstance(max_tokens, int) or max_tokens < 1:
        said = max_tokens if isinstance(max_tokens, int) else f"a {type(max_tokens).__name__}"
        yield Problem("$.max_tokens", f"is {said}; batches take a whole number from 1")
    elif facts := circumstances.models.get(str(params.get("model"))):
        limit = max_tokens_limit(facts, betas=circumstances.betas)
        if limit is not None and max_tokens > limit:
            yield Problem("$.max_tokens", f"is {max_tokens}, and {facts.model} answers with at most {limit}")


def max_tokens_limit(facts: ModelFacts, *, betas: Collection[str]) -> int | None:
    """Return the most tokens that one answer of a model may have in a batch, or ``None`` if not known."""
    if facts.max_tokens is not None and _LONG_OUTPUT_BETA in betas:
        return max(facts.max_tokens, _LONG_OUTPUT_TOKENS)
    return facts.max_tokens


def _check_messages(params: Mapping[str, object]) -> Iterator[Problem]:
    messages = params.get("messages")
    for position, message in enumerate(messages if isinstance(messages, list) else []):
        path = f"$.messages[{position}]"
        if not isinstance(message, Mapping) or message.get("role") not in ("user", "assistant", "system"):
            yield Problem(f"{path}.role", "is neither user nor assistant")
        elif _is_empty(content := message.get("content")):
            yield Problem(f"{path}.content", "is empty")
        elif isinstance(content, list):
            for at, block in enumerate(content):
                if (
                    isinstance(block, Mapping)
                    and block.get("type") == "text"
                    and _is_empty(block.get("text"))
                ):
                    yield Problem(f"{path}.content[{at}].text", "is empty")


def _is_empty(content: object) -> bool:
    return not content or (isinstance(content, str) and not content.strip())


def _check_model(params: Mapping[str, object], facts: ModelFacts | None) -> Iterator[Problem]:
    if facts is None:
        return
    if facts.lifecycle == "retired":
        yield Problem("$.model", f"{facts.model} is retired")
    if "batch" in facts.lacks:
        yield Problem("$.model", f"{facts.model} does not serve batches")
    output_config = params.get("output_config")
    if (
        "structured_outputs" in facts.lacks
        and isinstance(output_config, Mapping)
        and "format" in output_config
    ):
        yield Problem("$.output_config.format", f"is not supported by {facts.model}")
    kind = _type_of(params.get("thinking"))
    if kind and facts.thinking_types and kind not in facts.thinking_types:
        yield Problem("$.thinking.type", f"is not supported by {facts.model}")
    if _type_of(params.get("tool_choice")) in ("any", "tool") and _refuses_forced_tool(facts):
        yield Problem("$.tool_choice", f"a forced tool is not supported by {facts.model}: use output_schema")
    messages = params.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    is_prefill = isinstance(last, Mapping) and last.get("role") == "assistant"
    if is_prefill and facts.version is not None and facts.version >= _FIRST_WITHOUT_PREFILL:
        yield Problem("$.messages[-1]", f"is an assistant turn, which {facts.model} does not continue")


def _type_of(value: object) -> str | None:
    return str(value.get("type")) if isinstance(value, Mapping) else None


def _refuses_forced_tool(facts: ModelFacts) -> bool:
    first = _REFUSE_FORCED_TOOL.get(facts.line or "")
    return first is not None and facts.version is not None and facts.version >= first
