"""
Texts of answers to the typed columns of the output schema, and why an answer does not fit it.

msgspec is the judge of what fits. Arrow reads all answers at once; only where that leaves a doubt is an
answer judged by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_claude_batch.core.answer_texts_to_arrow import (
    NO_ANSWER,
    converted,
    incomplete_rows,
    read_texts,
    values_fit,
)
from airflow_provider_claude_batch.core.check_answer import answer_checker
from airflow_provider_claude_batch.core.json_schema_to_arrow import answer_columns, answer_struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

#: Where a path of the schema stands in msgspec's messages.
_PATH = re.compile(r" - at `(\$[^`]*)`$")


@dataclass(frozen=True, slots=True)
class Answers:
    """
    Answers of some rows.

    :param columns: By name, one value a row; null where there is no valid answer.
    :param misfits: One text a row: why there is none, and nothing of what the answer says; else null.
    """

    columns: dict[str, pa.Array]
    misfits: pa.Array


@dataclass(slots=True)
class _Judged:
    """
    What msgspec said of some answers, by row.

    :param misfits: Why an answer does not fit.
    :param as_json: By column: what of an answer is kept as JSON.
    """

    misfits: dict[int, str]
    as_json: dict[str, dict[int, str | None]]


class AnswerReader:
    """
    Reads the answers to one output schema.

    :param json_schema: The closed output schema.
    """

    def __init__(self, json_schema: Mapping[str, object]) -> None:
        columns = answer_columns(json_schema)
        self._names = list(columns)
        self._fields_as_json = [(f"f{i}", name) for i, (name, c) in enumerate(columns.items()) if c.is_json]
        self._read = {name: column for name, column in columns.items() if not column.is_json}
        self._decode: Callable[[str], object] = msgspec.json.Decoder(answer_struct(columns)).decode
        self._check_rest = answer_checker(json_schema)
        self._arrow_can_tell = not self._fields_as_json and self._check_rest is None

    def read(self, texts: pa.Array, *, is_likely: pa.Array | None = None) -> Answers:
        """
        Read answers.

        :param texts: One a row, null where there is none.
        :param is_likely: By row; ``False`` for an answer that was cut or refused. It costs time if that is
            wrong, and changes nothing.
        """
        judged = _Judged({}, {name: {} for _, name in self._fields_as_json})
        rows = np.arange(len(texts))
        doubtful = self._doubtful(texts, is_likely) if self._arrow_can_tell else np.ones(len(texts), np.bool_)
        self._judge(texts, rows[doubtful], judged)
        read = self._read_certain(texts, doubtful, judged) if self._arrow_can_tell else None
        if read is None:
            if self._arrow_can_tell:
                self._judge(texts, rows[~doubtful], judged)
            read = self._read_judged(texts, judged)
        columns = {
            name: converted(read.field(i), column.arrow)
            for i, (name, column) in enumerate(self._read.items())
        }
        for name, values in judged.as_json.items():
            columns[name] = _by_row(values, len(texts))
        return Answers({name: columns[name] for name in self._names}, _by_row(judged.misfits, len(texts)))

    def _doubtful(self, texts: pa.Array, is_likely: pa.Array | None) -> NDArray[np.bool_]:
        """Return which texts could be anything but one object, alone or with their neighbours."""
        is_object = pc.and_(pc.starts_with(texts, "{"), pc.ends_with(texts, "}"))
        likely = is_object if is_likely is None else pc.and_(is_object, is_likely)
        doubtful: NDArray[np.bool_] = ~pc.fill_null(likely, fill_value=False).to_numpy(zero_copy_only=False)
        return doubtful

    def _read_certain(
        self, texts: pa.Array, doubtful: NDArray[np.bool_], judged: _Judged
    ) -> pa.StructArray | None:
        """Return the answers, or ``None`` where Arrow alone cannot tell whether they fit."""
        read = read_texts(_without(texts, judged.misfits), self._read, is_strict=True)
        if read is None or not all(
            values_fit(read.field(i), column) for i, column in enumerate(self._read.values())
        ):
            return None
        found = len(judged.misfits)
        self._judge(texts, np.flatnonzero(incomplete_rows(read) & ~doubtful), judged)
        return read if len(judged.misfits) == found else self._read_judged(texts, judged)

    def _read_judged(self, texts: pa.Array, judged: _Judged) -> pa.StructArray:
        """Return the answers, all of which are known to fit or not to."""
        fitting = _without(texts, judged.misfits)
        read = read_texts(fitting, self._read, is_strict=False)
        if read is None:
            # They fit, but not in a form that Arrow reads, such as a field that is there twice.
            plain = pa.array(map(self._plain, fitting.to_pylist()), pa.string())
            read = read_texts(plain, self._read, is_strict=False)
        if read is None:
            raise AssertionError("Arrow cannot read valid answers")
        return read

    def _plain(self, text: str) -> str:
        return text if text == NO_ANSWER else msgspec.json.encode(self._decode(text)).decode()

    def _judge(self, texts: pa.Array, rows: NDArray[np.int64], judged: _Judged) -> None:
        for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
            answer, misfit = self._checked(text)
            if misfit is not None:
                judged.misfits[row] = misfit
                continue
            for field, name in self._fields_as_json:
                judged.as_json[name][row] = _json_text(getattr(answer, field))

    def _checked(self, text: str | None) -> tuple[object, str | None]:
        if text is None:
            return None, "The answer has no text"
        try:
            answer = self._decode(text)
        except (ValueError, RecursionError) as error:
            return None, _misfit_text(error)
        if self._check_rest is not None and (misfit := self._check_rest(text)) is not None:
            return None, f"The answer breaks output_schema: {misfit}"
        return answer, None


def _by_row(values: Mapping[int, str | None], rows: int) -> pa.Array:
    """Return a column of texts, null in the rows that have none."""
    places = np.full(rows, -1)
    places[list(values)] = range(len(values))
    return pa.array(values.values(), pa.string()).take(pa.array(places, mask=places < 0))


def _without(texts: pa.Array, misfits: Mapping[int, str]) -> pa.Array:
    if not misfits:
        return texts
    is_misfit = np.zeros(len(texts), np.bool_)
    is_misfit[list(misfits)] = True
    return pc.if_else(pa.array(is_misfit), NO_ANSWER, texts)


def _misfit_text(error: BaseException) -> str:
    """
    Say where an answer does not fit its types, and nothing of what it says.

    :param error: Of msgspec, whose own words may quote the answer.
    """
    if not isinstance(error, msgspec.ValidationError):
        return "The answer is not JSON"
    path = _PATH.search(str(error))
    return (
        f"The answer breaks output_schema: {path[1] if path else '$'} has another type, or is out of bounds"
    )


def _json_text(value: object) -> str | None:
    text = bytes(value).decode() if isinstance(value, msgspec.Raw) else None
    return None if text == "null" else text
