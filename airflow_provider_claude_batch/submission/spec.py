"""
What an author asked a submit task to do, checked as far as it can be without a row.

The operator makes it from its arguments; the snapshot is taken by it. Holds no Airflow object.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.core.manifest import Settings
from airflow_provider_claude_batch.core.output_schema import JsonObject, to_json_schema, to_output_format
from airflow_provider_claude_batch.core.request_template import (
    ParamsValue,
    build_params,
    template_columns,
)
from airflow_provider_claude_batch.errors import ClaudeBatchInputError, OutputSchemaError
from airflow_provider_claude_batch.submission.shard_writer import Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_claude_batch.core.manifest import Retain
    from airflow_provider_claude_batch.core.rows_to_requests import OnInvalidRow, OnNull


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionSpec:
    """
    One submission, before its rows are read.

    :param source: What the rows are read from, as it goes into the digest.
    :param params: ``params`` of every request, with row templates in it; ``None`` with ``build_request``.
    :param json_schema: The closed output schema, or ``None``.
    :param cache_ttl: How long the prompt cache keeps the system prompt, which carries the mark in ``params``;
        ``None`` where the author did not ask for it.
    :param deduplicate: Requests that are the same are sent once.
    :param keep_content: The raw blocks of the answers are kept too.
    """

    claude_conn_id: str
    source: tuple[object, ...]
    key: tuple[str, ...]
    passthrough: tuple[str, ...]
    params: dict[str, ParamsValue] | None
    build_request: Callable[[dict[str, object]], Mapping[str, object]] | None
    json_schema: JsonObject | None
    model: str
    betas: tuple[str, ...]
    samples_per_row: int
    custom_id_from: str | None
    on_null: OnNull
    on_invalid_row: OnInvalidRow
    retain: Retain
    retain_failed_days: int
    deduplicate: bool = True
    keep_content: bool = False
    cache_ttl: str | None = None

    def used_columns(self) -> list[str] | None:
        """Return the columns of the source that are needed, or ``None`` for all of them."""
        if self.build_request is not None:
            return None
        further = template_columns(self.params) | ({self.custom_id_from} if self.custom_id_from else set())
        kept = dict.fromkeys([*self.key, *self.passthrough])
        return [*kept, *sorted(further - set(kept))]

    def asked(self) -> Asked | None:
        """Return model and ``max_tokens`` where they are the same in every request."""
        params = self.params or {}
        model, max_tokens = params.get("model"), params.get("max_tokens")
        if isinstance(model, str) and isinstance(max_tokens, int):
            return Asked(model, max_tokens)
        return None

    def settings(self) -> Settings:
        """Return what goes on record; two specs with equal settings ask the same of the same source."""
        request = self.params if self.build_request is None else _source_of(self.build_request)
        return Settings(
            claude_conn_id=self.claude_conn_id,
            model=self.model,
            key=list(self.key),
            passthrough=list(self.passthrough),
            betas=list(self.betas),
            samples_per_row=self.samples_per_row,
            source_digest=_digest(self.source),
            request_digest=_digest([request, self.custom_id_from, self.on_null, self.on_invalid_row]),
            output_schema=self.json_schema,
        )


def make_spec(
    *,
    claude_conn_id: str,
    source: Sequence[object],
    key: str | Sequence[str],
    passthrough: Sequence[str] = (),
    model: str = "",
    max_tokens: int = 0,
    prompt: str | None = None,
    messages: Sequence[object] | None = None,
    system: object = None,
    output_schema: object = None,
    request_params: Mapping[str, object] | None = None,
    build_request: Callable[[dict[str, object]], Mapping[str, object]] | None = None,
    betas: Sequence[str] = (),
    samples_per_row: int = 1,
    custom_id_from: str | None = None,
    on_null: OnNull = "error",
    on_invalid_row: OnInvalidRow = "fail",
    retain: Retain = "answers",
    retain_failed_days: int = 30,
    deduplicate: bool = True,
    keep_content: bool = False,
    cache_ttl: str | None = None,
) -> SubmissionSpec:
    """
    Check the author's arguments and put the request together.

    :raises ClaudeBatchInputError: An argument is empty, of the wrong kind, or contradicts another.
    """
    key_columns = (key,) if isinstance(key, str) else tuple(key)
    _require(bool(key_columns) and all(key_columns), "key names no column")
    for name, text in (("prompt", prompt), ("model", model)):
        _require(text is None or isinstance(text, str), f"{name} is a {type(text).__name__} and not a text")
    _require(samples_per_row >= 1, f"samples_per_row is {samples_per_row}; it must be 1 or more")
    json_schema = None if output_schema is None else to_json_schema(output_schema)
    if json_schema is not None:
        check_answer_type(json_schema)
    shapes = [shape for shape in (prompt, messages, build_request) if shape]
    _require(len(shapes) == 1, "give exactly one of prompt, messages and build_request, and not empty")
    params = None
    _require(
        cache_ttl is None or build_request is None,
        "cache_ttl marks system, and build_request makes the whole request: let it return cache_control",
    )
    if build_request is None:
        _require(bool(model), "model is empty")
        _require(max_tokens >= 1, f"max_tokens is {max_tokens}; batches take 1 or more")
        params = build_params(
            model=model,
            max_tokens=max_tokens,
            messages=messages or [{"role": "user", "content": prompt}],
            system=system,
            output_format=None if json_schema is None else to_output_format(json_schema),
            request_params=request_params or {},
            cache_ttl=cache_ttl,
        )
    return SubmissionSpec(
        claude_conn_id=claude_conn_id,
        source=tuple(source),
        key=key_columns,
        passthrough=tuple(passthrough),
        params=params,
        build_request=build_request,
        json_schema=json_schema,
        model=model,
        betas=tuple(betas),
        samples_per_row=samples_per_row,
        custom_id_from=custom_id_from,
        on_null=on_null,
        on_invalid_row=on_invalid_row,
        retain=retain,
        retain_failed_days=retain_failed_days,
        deduplicate=deduplicate,
        keep_content=keep_content,
        cache_ttl=cache_ttl,
    )


def check_answer_type(json_schema: JsonObject) -> None:
    """
    Build what the load builds of an output schema: one that it cannot read must not be paid for.

    :raises OutputSchemaError: Says which part cannot be checked or held.
    """
    import pyarrow as pa

    from airflow_provider_claude_batch.core.json_schema_to_arrow import (
        answer_columns,
        answer_struct,
        open_object,
    )
    from airflow_provider_claude_batch.core.results_to_arrow import published_schema

    if (path := open_object(json_schema)) is not None:
        raise OutputSchemaError(
            f"output_schema: {path} is an object without declared properties, which the API would answer "
            "with an empty one. Declare its properties, or take a list of objects with a name and a value. "
            "Nothing was sent."
        )
    try:
        msgspec.json.Decoder(answer_struct(answer_columns(json_schema)))
        published_schema(pa.schema([]), json_schema)
    except (TypeError, ValueError, NotImplementedError, re.error) as error:
        raise OutputSchemaError(f"output_schema: {error}. Nothing was sent.") from error


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ClaudeBatchInputError(f"{otherwise}. Nothing was sent.")


def _source_of(function: Callable[..., object]) -> str:
    if isinstance(function, functools.partial):
        return f"{_source_of(function.func)} {function.args!r} {function.keywords!r}"
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return f"{type(function).__module__}.{type(function).__qualname__}"


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:32]
