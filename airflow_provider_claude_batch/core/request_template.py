"""
The request that every row becomes, compiled once: constant bytes between the places that a row fills.

Escaping in JSON works character by character, so the escaped text of a template is the escaped pieces one
after the other: what is the same in every request is encoded once, here, and never again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from airflow_provider_claude_batch.core.row_template import (
    Placeholder,
    RowTemplate,
    check_columns,
    compile_template,
)
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

#: How long the prompt cache keeps what is marked. https://platform.claude.com/docs/en/build-with-claude/
#: prompt-caching#1-hour-cache-duration, read 2026-11-22.
CACHE_TTLS = ("5m", "1h")

#: What stands in ``params`` of one request: JSON, with row templates where a string is filled by the row.
ParamsValue = object


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """
    The ``params`` of a request as compact UTF-8 JSON: bytes, and the placeholders between them.

    ``constants`` has one entry more than ``placeholders``; a row's ``params`` are the constants with the
    escaped texts of the placeholders in between.

    :param fillings: Texts that are blank but for their placeholders, which the API takes only when they are
        filled: the path of each, and its placeholders by position.
    """

    constants: tuple[bytes, ...]
    placeholders: tuple[Placeholder, ...]
    fillings: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns used, each once, in the order of their first use."""
        return tuple(dict.fromkeys(p.column for p in self.placeholders))


def to_templates(value: ParamsValue) -> ParamsValue:
    """
    Compile every string of a part of a request as a row template.

    :param value: JSON, as the author wrote it.
    """
    if isinstance(value, str):
        return compile_template(value) if "{" in value else value
    if isinstance(value, Mapping):
        return {name: to_templates(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [to_templates(member) for member in value]
    return value


def template_columns(value: ParamsValue) -> set[str]:
    """Return the columns that the row templates in a part of a request name."""
    if isinstance(value, RowTemplate):
        return set(value.columns)
    members = value.values() if isinstance(value, Mapping) else value
    if isinstance(members, str) or not isinstance(members, Iterable):
        return set()
    return {column for member in members for column in template_columns(member)}


def build_params(
    *,
    model: str,
    max_tokens: int,
    messages: Sequence[object],
    system: object,
    output_format: Mapping[str, object] | None,
    request_params: Mapping[str, object],
    cache_ttl: str | None = None,
) -> dict[str, ParamsValue]:
    """
    Put together the ``params`` of one request from the arguments of the submit operator.

    :param model: Model id.
    :param max_tokens: Tokens that an answer may have.
    :param messages: As the API takes them; every string in them is a row template.
    :param system: System prompt or list of blocks, every string in it a row template, or ``None``.
    :param output_format: ``output_config.format`` as the API takes it, or ``None``.
    :param request_params: Any other parameter of the Messages API; may not repeat one of the above.
    :param cache_ttl: Marks the end of the system prompt for the prompt cache, ``5m`` or ``1h``; a mark that
        is there already stays.
    :raises ClaudeBatchInputError: ``request_params`` repeats a parameter that has an argument of its own, or
        there is no system prompt to mark.
    """
    params: dict[str, ParamsValue] = {"model": model, "max_tokens": max_tokens}
    if cache_ttl is not None:
        system = _with_mark(system, cache_ttl)
    if system:
        params["system"] = to_templates(system)
    params["messages"] = to_templates(messages)
    if repeated := sorted({*params, "system"} & set(request_params)):
        raise ClaudeBatchInputError(
            f"request_params repeats {', '.join(repeated)}: use the argument of that name. Nothing was sent."
        )
    params.update(request_params)
    if output_format is not None:
        params["output_config"] = _with_format(request_params.get("output_config"), output_format)
    return params


def _with_format(output_config: object, output_format: Mapping[str, object]) -> dict[str, object]:
    given = output_config if isinstance(output_config, Mapping) else {}
    if "format" in given:
        raise ClaudeBatchInputError(
            "request_params has output_config.format and output_schema is given: use one. Nothing was sent."
        )
    return {**given, "format": dict(output_format)}


def _with_mark(system: object, cache_ttl: str) -> list[object]:
    if cache_ttl not in CACHE_TTLS:
        raise ClaudeBatchInputError(
            f"cache_ttl is {cache_ttl!r}; it must be {' or '.join(CACHE_TTLS)}. Nothing was sent."
        )
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    if not system or not isinstance(blocks, list | tuple):
        raise ClaudeBatchInputError(
            "cache_ttl marks the end of the system prompt, and there is none: give system, or mark a block "
            "of messages by cache_control. Nothing was sent."
        )
    *others, last = blocks
    if isinstance(last, Mapping) and not last.get("cache_control"):
        last = {**last, "cache_control": {"type": "ephemeral", "ttl": cache_ttl}}
    return [*others, last]


def compile_request(params: Mapping[str, ParamsValue], *, columns: Collection[str]) -> RequestTemplate:
    """
    Compile ``params`` into constant bytes and placeholders.

    :param params: As :func:`build_params` returns it.
    :param columns: Names of the source's columns.
    :raises RowTemplateError: A template names a column that is not among ``columns``.
    :raises ClaudeBatchInputError: A value is not JSON.
    """
    compiler = _Compiler(columns)
    compiler.add(params, path="$", is_base64=False)
    return compiler.finish()


class _Compiler:
    """Collects the bytes of a request, and where a row's texts go between them."""

    def __init__(self, columns: Collection[str]) -> None:
        self._columns = columns
        self._constants: list[bytes] = []
        self._placeholders: list[Placeholder] = []
        self._fillings: list[tuple[str, tuple[int, ...]]] = []
        self._current = bytearray()

    def add(self, value: ParamsValue, *, path: str, is_base64: bool) -> None:
        """Append one JSON value."""
        if isinstance(value, RowTemplate):
            self._add_string(value, path=path, is_base64=is_base64)
        elif isinstance(value, Mapping):
            self._add_object(value, path=path)
        elif isinstance(value, list | tuple):
            self._current += b"["
            for position, member in enumerate(value):
                self._current += b"," if position else b""
                self.add(member, path=f"{path}[{position}]", is_base64=False)
            self._current += b"]"
        else:
            self._current += _encode(value, path=path)

    def finish(self) -> RequestTemplate:
        """Return what was collected."""
        constants = (*self._constants, bytes(self._current))
        return RequestTemplate(constants, tuple(self._placeholders), tuple(self._fillings))

    def _add_object(self, value: Mapping[str, ParamsValue], *, path: str) -> None:
        holds_base64 = value.get("type") == "base64"
        self._current += b"{"
        for position, (name, member) in enumerate(value.items()):
            self._current += (b"," if position else b"") + _encode(str(name), path=path) + b":"
            self.add(member, path=f"{path}.{name}", is_base64=holds_base64 and name == "data")
        self._current += b"}"

    def _add_string(self, template: RowTemplate, *, path: str, is_base64: bool) -> None:
        check_columns(template, self._columns, where=path)
        first = len(self._placeholders)
        self._current += b'"'
        for piece in template.pieces:
            if isinstance(piece, Placeholder):
                self._constants.append(bytes(self._current))
                self._current.clear()
                self._placeholders.append(replace(piece, is_base64=is_base64))
            else:
                self._current += escape_text(piece)
        self._current += b'"'
        if all(isinstance(piece, Placeholder) or not piece.strip() for piece in template.pieces):
            self._fillings.append((path, tuple(range(first, len(self._placeholders)))))


def escape_text(text: str) -> bytes:
    """
    Return ``text`` as it stands between the quotes of a JSON string, in UTF-8.

    :raises UnicodeEncodeError: The text holds a lone surrogate, which no UTF-8 can carry.
    """
    return msgspec.json.encode(text)[1:-1]


def _encode(value: object, *, path: str) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError) as error:
        raise ClaudeBatchInputError(
            f"{path} of the request is not JSON: {error}. Nothing was sent."
        ) from error
