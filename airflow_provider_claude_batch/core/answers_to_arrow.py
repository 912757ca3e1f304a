"""
Texts of answers to the typed columns of the output schema, and why an answer does not fit it.

msgspec says which texts fit; Arrow reads all of those at once. What Arrow has no JSON for (dictionaries, dates,
times) is read as text and converted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from airflow_provider_claude_batch.core.check_answer import answer_checker
from airflow_provider_claude_batch.core.json_schema_to_arrow import answer_columns, answer_struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Where a path of the schema stands in msgspec's messages.
_PATH = re.compile(r" - at `(\$[^`]*)`$")

_NO_TEXT = "The answer has no text"


@dataclass(frozen=True, slots=True)
class Answers:
    """
    Answers of some rows.

    :param columns: By name, one value a row; null where there is no valid answer.
    :param misfits: One text a row: why there is none, and nothing of what the answer says; else null.
    """

    columns: dict[str, pa.Array]
    misfits: pa.Array


class AnswerReader:
    """
    Reads the answers to one output schema.

    :param json_schema: The closed output schema.
    """

    def __init__(self, json_schema: Mapping[str, object]) -> None:
        columns = answer_columns(json_schema)
        self.fields = [pa.field(name, column.arrow) for name, column in columns.items()]
        self._fields_as_json = [(f"f{i}", name) for i, (name, c) in enumerate(columns.items()) if c.is_json]
        as_json = {name for _, name in self._fields_as_json}
        self._read_schema = pa.schema(
            [(field.name, _read_type(field.type)) for field in self.fields if field.name not in as_json]
        )
        self._decode: Callable[[str], object] = msgspec.json.Decoder(answer_struct(columns)).decode
        self._check_rest = answer_checker(json_schema)

    def read(self, texts: pa.Array) -> Answers:
        """
        Read answers.

        :param texts: One a row, null where there is none.
        """
        as_json: dict[str, list[str | None]] = {name: [] for _, name in self._fields_as_json}
        misfits = pa.array([self._misfit(text, as_json) for text in texts.to_pylist()], pa.string())
        # An object without any field is read as nulls, so rows stay where they are.
        read = self._read_valid(pc.if_else(misfits.is_null(), texts, "{}"))
        columns = {**read, **{name: pa.array(values, pa.string()) for name, values in as_json.items()}}
        return Answers({field.name: columns[field.name] for field in self.fields}, misfits)

    def _misfit(self, text: str | None, as_json: Mapping[str, list[str | None]]) -> str | None:
        """Return why an answer does not fit; and add what of it is kept as JSON."""
        answer, misfit = self._checked(text)
        for field, name in self._fields_as_json:
            as_json[name].append(None if misfit else _json_text(getattr(answer, field)))
        return misfit

    def _checked(self, text: str | None) -> tuple[object, str | None]:
        if text is None:
            return None, _NO_TEXT
        try:
            answer = self._decode(text)
        except (ValueError, RecursionError) as error:
            return None, misfit_text(error)
        if self._check_rest is not None and (misfit := self._check_rest(text)) is not None:
            return None, f"The answer breaks output_schema: {misfit}"
        return answer, None

    def _read_valid(self, texts: pa.Array) -> dict[str, pa.Array]:
        if not len(self._read_schema):
            return {}
        read = _parsed(texts, self._read_schema)
        if read is None:
            # Valid, but not in words that Arrow reads, such as 1.0 for an integer.
            read = _parsed(pa.array(map(self._plain, texts.to_pylist()), pa.string()), self._read_schema)
        if read is None:
            raise AssertionError("Arrow cannot read valid answers")
        kinds = {field.name: field.type for field in self.fields}
        return {
            name: _converted(read.column(name).combine_chunks(), kinds[name])
            for name in self._read_schema.names
        }

    def _plain(self, text: str) -> str:
        return text if text == "{}" else msgspec.json.encode(self._decode(text)).decode()


def misfit_text(error: BaseException) -> str:
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


def _parsed(texts: pa.Array, schema: pa.Schema) -> pa.Table | None:
    if not len(texts):
        return schema.empty_table()
    all_texts = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    block = pc.binary_join(all_texts, "\n")[0].as_buffer()
    try:
        table = pj.read_json(
            pa.BufferReader(block),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=pj.ParseOptions(
                explicit_schema=schema, newlines_in_values=True, unexpected_field_behavior="ignore"
            ),
        )
    except pa.ArrowInvalid:
        return None
    return table if table.num_rows == len(texts) else None


def _read_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that Arrow reads a value as; the rest is converted afterwards."""
    if pa.types.is_struct(kind):
        return pa.struct(
            [(kind.field(i).name, _read_type(kind.field(i).type)) for i in range(kind.num_fields)]
        )
    if pa.types.is_list(kind):
        return pa.list_(_read_type(kind.value_type))
    is_text = pa.types.is_dictionary(kind) or pa.types.is_temporal(kind)
    return pa.string() if is_text else kind


def _converted(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if values.type == kind:
        return values
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        members = [_converted(values.field(i), field.type) for i, field in enumerate(fields)]
        return pa.StructArray.from_arrays(members, fields=fields, mask=values.is_null())
    if pa.types.is_list(kind):
        items = _converted(values.values, kind.value_type)
        return pa.ListArray.from_arrays(values.offsets, items, type=kind, mask=values.is_null())
    if pa.types.is_dictionary(kind):
        return pc.dictionary_encode(values).cast(kind)
    return _moments(values, kind)


def _moments(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return dates or times; read by what checked them, which reads some spellings in its own way."""
    import datetime as dt

    moment = dt.date if pa.types.is_date(kind) else dt.datetime
    return pa.array(msgspec.convert(texts.to_pylist(), list[moment | None]), kind)  # type: ignore[valid-type]
