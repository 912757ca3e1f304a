"""
JSON texts of answers to Arrow columns, all of a column at once, and whether they are certain to fit.

What Arrow has no JSON for (dictionaries, dates, times) is read as text and converted.
"""

from __future__ import annotations

import datetime as dt
from types import GenericAlias
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from airflow_provider_claude_batch.core.json_to_arrow import one_batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from airflow_provider_claude_batch.core.json_schema_to_arrow import AnswerType

#: An object without fields: a row of nulls.
NO_ANSWER = "{}"


def read_texts(
    texts: pa.Array, columns: Mapping[str, AnswerType], *, is_strict: bool
) -> pa.StructArray | None:
    """
    Return the texts' fields as they are read, one row a text, or ``None`` where Arrow cannot read them all.

    :param texts: Each begins with ``{`` and ends with ``}``, or is known to be one JSON object.
    :param is_strict: A field that is no column is not read over.
    """
    schema = pa.schema([(name, _read_type(column.arrow)) for name, column in columns.items()])
    if not len(texts) or not columns:
        return pa.nulls(len(texts), pa.struct(schema))
    # Between two texts stands }, a line end, {: that is never inside a JSON value. So each text is whole
    # objects, and as many objects as texts means one in each.
    all_texts = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    block = pc.binary_join(all_texts, "\n")[0].as_buffer()
    options = pj.ParseOptions(
        explicit_schema=schema,
        newlines_in_values=True,
        unexpected_field_behavior="error" if is_strict else "ignore",
    )
    try:
        read = one_batch(block, options)
    except pa.ArrowInvalid:
        return None
    return read.to_struct_array() if read.num_rows == len(texts) else None


def values_fit(values: pa.Array, column: AnswerType) -> bool:
    """Return whether all values that are there fit; a null, or what lies in one, is not judged."""
    if column.members:
        return all(values_fit(values.field(i), member) for i, member in enumerate(column.members.values()))
    if column.item is not None:
        return values_fit(values.flatten(), column.item)
    if pa.types.is_floating(values.type) and pc.all(pc.is_finite(values)).as_py() is False:
        return False
    if column.is_free:
        return True
    try:
        msgspec.convert(pc.unique(values).drop_null().to_pylist(), GenericAlias(list, column.checked))
    except msgspec.ValidationError:
        return False
    return True


def incomplete_rows(values: pa.Array) -> NDArray[np.bool_]:
    """Return which rows have a null in them, which may be a field that is not there."""
    incomplete: NDArray[np.bool_] = values.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_struct(values.type):
        for i in range(values.type.num_fields):
            incomplete = incomplete | incomplete_rows(values.field(i))
    elif pa.types.is_list(values.type):
        items = incomplete_rows(values.flatten())
        if items.any():
            rows = pc.list_parent_indices(values).to_numpy()[items]
            incomplete = incomplete | (np.bincount(rows, minlength=len(values)) > 0)
    return incomplete


def converted(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return values that were read, all of which fit, in the type of their column."""
    if values.type == kind:
        return values
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        members = [converted(values.field(i), field.type) for i, field in enumerate(fields)]
        return pa.StructArray.from_arrays(members, fields=fields, mask=values.is_null())
    if pa.types.is_list(kind):
        items = converted(values.values, kind.value_type)
        return pa.ListArray.from_arrays(values.offsets, items, type=kind, mask=values.is_null())
    if pa.types.is_dictionary(kind):
        return pc.dictionary_encode(values).cast(kind)
    # By what checked them, which reads some spellings in its own way.
    moment = dt.date if pa.types.is_date(kind) else dt.datetime
    return pa.array(msgspec.convert(values.to_pylist(), list[moment | None]), kind)  # type: ignore[valid-type]


def _read_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return pa.struct([(field.name, _read_type(field.type)) for field in fields])
    if pa.types.is_list(kind):
        return pa.list_(_read_type(kind.value_type))
    is_text = pa.types.is_dictionary(kind) or pa.types.is_temporal(kind)
    return pa.string() if is_text else kind
