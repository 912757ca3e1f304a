"""
What an author asked a submit task to do, checked as far as it can be without a row.

The operator makes it from its arguments; the snapshot is taken by it. Holds no Airflow object.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.core.manifest import Settings
from airflow_provider_claude_batch.core.output_schema import JsonObject, to_json_schema, to_output_format
from airflow_provider_claude_batch.core.request_template import ParamsValue, build_params
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionSpec:
    """
    One submission, before its rows are read.

    :param params: ``params`` of every request, with row templates in it.
    :param json_schema: The closed output schema, or ``None``.
    """

    claude_conn_id: str
    sql_conn_id: str
    sql: str
    parameters: Sequence[object] | Mapping[str, object] | None
    key: tuple[str, ...]
    passthrough: tuple[str, ...]
    params: dict[str, ParamsValue]
    json_schema: JsonObject | None

    def settings(self) -> Settings:
        """Return what goes on record; two specs with equal settings ask the same of the same query."""
        return Settings(
            claude_conn_id=self.claude_conn_id,
            model=str(self.params["model"]),
            key=list(self.key),
            passthrough=list(self.passthrough),
            source_digest=_digest([self.sql_conn_id, self.sql, self.parameters]),
            request_digest=_digest(self.params),
            output_schema=self.json_schema,
        )


def make_spec(
    *,
    claude_conn_id: str,
    sql_conn_id: str,
    sql: str,
    parameters: Sequence[object] | Mapping[str, object] | None,
    key: str | Sequence[str],
    passthrough: Sequence[str],
    model: str,
    max_tokens: int,
    prompt: str,
    system: str | None,
    output_schema: object,
    request_params: Mapping[str, object] | None,
) -> SubmissionSpec:
    """
    Check the author's arguments and put the request together.

    :raises ClaudeBatchInputError: An argument is empty, of the wrong kind, or contradicts another.
    """
    key_columns = (key,) if isinstance(key, str) else tuple(key)
    _require(bool(key_columns) and all(key_columns), "key names no column")
    _require(bool(sql.strip()), "sql is empty")
    _require(bool(prompt.strip()), "prompt is empty")
    _require(bool(model), "model is empty")
    _require(max_tokens >= 1, f"max_tokens is {max_tokens}; batches take 1 or more")
    json_schema = None if output_schema is None else to_json_schema(output_schema)
    params = build_params(
        model=model,
        max_tokens=max_tokens,
        prompt=prompt,
        system=system,
        output_format=None if json_schema is None else to_output_format(json_schema),
        request_params=request_params or {},
    )
    return SubmissionSpec(
        claude_conn_id=claude_conn_id,
        sql_conn_id=sql_conn_id,
        sql=sql,
        parameters=parameters,
        key=key_columns,
        passthrough=tuple(passthrough),
        params=params,
        json_schema=json_schema,
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ClaudeBatchInputError(f"{otherwise}. Nothing was sent.")


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:32]
