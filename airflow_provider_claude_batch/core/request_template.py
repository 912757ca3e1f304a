"""
The request that every row becomes, compiled once: constant bytes between the places that a row fills.

Escaping in JSON works character by character, so the escaped text of a template is the escaped pieces one
after the other: what is the same in every request is encoded once, here, and never again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from airflow_provider_claude_batch.core.row_template import (
    Placeholder,
    RowTemplate,
    check_columns,
    compile_template,
)
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

#: What stands in ``params`` of one request: JSON, with row templates where a string is filled by the row.
ParamsValue = object


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """
    The ``params`` of a request as compact UTF-8 JSON: bytes, and the placeholders between them.

    ``constants`` has one entry more than ``placeholders``; a row's ``params`` are the constants with the
    escaped texts of the placeholders in between.
    """

    constants: tuple[bytes, ...]
    placeholders: tuple[Placeholder, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns used, each once, in the order of their first use."""
        return tuple(dict.fromkeys(p.column for p in self.placeholders))


def build_params(
    *,
    model: str,
    max_tokens: int,
    prompt: str,
    system: str | None,
    output_format: Mapping[str, object] | None,
    request_params: Mapping[str, object],
) -> dict[str, ParamsValue]:
    """
    Put together the ``params`` of one request: one user turn, from the arguments of the submit operator.

    :param model: Model id.
    :param max_tokens: Tokens that an answer may have.
    :param prompt: Row template of the user's turn.
    :param system: Row template of the system prompt, or ``None``.
    :param output_format: ``output_config.format`` as the API takes it, or ``None``.
    :param request_params: Any other parameter of the Messages API; may not repeat one of the above.
    :raises ClaudeBatchInputError: ``request_params`` repeats a parameter that has an argument of its own.
    """
    params: dict[str, ParamsValue] = {"model": model, "max_tokens": max_tokens}
    if system:
        params["system"] = compile_template(system)
    params["messages"] = [{"role": "user", "content": compile_template(prompt)}]
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


def compile_request(params: Mapping[str, ParamsValue], *, columns: Collection[str]) -> RequestTemplate:
    """
    Compile ``params`` into constant bytes and placeholders.

    :param params: As :func:`build_params` returns it.
    :param columns: Names of the source's columns.
    :raises RowTemplateError: A template names a column that is not among ``columns``.
    :raises ClaudeBatchInputError: A value is not JSON.
    """
    constants: list[bytes] = []
    placeholders: list[Placeholder] = []
    current = bytearray()
    for piece in _pieces(params, columns, path="$"):
        if isinstance(piece, Placeholder):
            constants.append(bytes(current))
            placeholders.append(piece)
            current.clear()
        else:
            current += piece
    constants.append(bytes(current))
    return RequestTemplate(tuple(constants), tuple(placeholders))


def _pieces(value: ParamsValue, columns: Collection[str], *, path: str) -> Iterator[bytes | Placeholder]:
    if isinstance(value, RowTemplate):
        yield from _string_pieces(value, columns, path=path)
    elif isinstance(value, Mapping):
        yield b"{"
        for position, (name, member) in enumerate(value.items()):
            yield (b"," if position else b"") + _encode(str(name), path=path) + b":"
            yield from _pieces(member, columns, path=f"{path}.{name}")
        yield b"}"
    elif isinstance(value, list | tuple):
        yield b"["
        for position, member in enumerate(value):
            if position:
                yield b","
            yield from _pieces(member, columns, path=f"{path}[{position}]")
        yield b"]"
    else:
        yield _encode(value, path=path)


def _string_pieces(
    template: RowTemplate, columns: Collection[str], *, path: str
) -> Iterator[bytes | Placeholder]:
    check_columns(template, columns, where=path)
    yield b'"'
    for piece in template.pieces:
        yield piece if isinstance(piece, Placeholder) else escape_text(piece)
    yield b'"'


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
