"""
Templates over the columns of a row: ``{column}`` and ``{column:spec}``; every other brace is literal.

Pure text handling. There is no attribute or index access, so a template reaches nothing but the values of
the row. Imports nothing of Airflow, and no JSON.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.did_you_mean import did_you_mean
from airflow_provider_claude_batch.errors import RowTemplateError

if TYPE_CHECKING:
    from collections.abc import Collection

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::([^\s{}][^{}]*))?\}")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """
    A place in a template that takes the value of ``column``, formatted by ``spec`` as Python does.

    :param is_base64: A binary value is taken, in Base64: the place is the data of an image or a document.
    """

    column: str
    spec: str
    is_base64: bool = False


@dataclass(frozen=True, slots=True)
class RowTemplate:
    """Literal text and placeholders, in order. Two literals are never neighbours."""

    pieces: tuple[str | Placeholder, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns used, each once, in the order of their first use."""
        return tuple(dict.fromkeys(p.column for p in self.pieces if isinstance(p, Placeholder)))


def compile_template(text: str) -> RowTemplate:
    r"""
    Parse a template.

    A brace that does not enclose a column-like name (``[A-Za-z_][A-Za-z0-9_]*``, then at most a format spec
    that does not begin with a space) is literal, so an example in JSON needs no escaping.

    :param text: Author's text, after Airflow has rendered its own templates.
    """
    pieces: list[str | Placeholder] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        if literal := text[end : match.start()]:
            pieces.append(literal)
        pieces.append(Placeholder(match[1], match[2] or ""))
        end = match.end()
    if literal := text[end:]:
        pieces.append(literal)
    return RowTemplate(tuple(pieces))


def check_columns(template: RowTemplate, available: Collection[str], *, where: str) -> None:
    """
    Raise where the template names a column that the source does not return.

    :param template: A compiled template.
    :param available: Names of the source's columns.
    :param where: What the template is, for the message, such as ``prompt``.
    :raises RowTemplateError: Names the columns that are not there and the ones that are.
    """
    unknown = [name for name in template.columns if name not in available]
    if unknown:
        raise RowTemplateError(
            f"{where} names {', '.join('{' + name + '}' for name in unknown)}, but the source returns only "
            f"{', '.join(available)}.{did_you_mean(unknown, available)} Nothing was sent."
        )


def value_to_text(value: object, placeholder: Placeholder) -> str:
    """
    Return the text that a placeholder takes: ``format(value, spec)``, and ``true``/``false`` for booleans.

    :param value: A value of the row, not ``None``; lists, structs and maps are JSON text already.
    :param placeholder: Where the text goes.
    :raises TypeError: Values of this type have no text there.
    :raises ValueError: The spec does not suit the value.
    """
    if isinstance(value, bytes):
        if not placeholder.is_base64:
            raise TypeError("it is binary and has no text")
        return base64.b64encode(value).decode()
    if value is None:
        raise TypeError("it is null")
    if isinstance(value, bool) and not placeholder.spec:
        return "true" if value else "false"
    return format(value, placeholder.spec)
