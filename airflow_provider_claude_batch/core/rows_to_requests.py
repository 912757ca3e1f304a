"""
Rows of the source to the request lines of a batch, and to the keys that find the answers' way back.

Column by column: each placeholder's values are formatted and escaped as one list, then the rows are joined.
Imports pyarrow inside functions only: this module is reached from a Dag file.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.request_template import RequestTemplate, escape_text
from airflow_provider_claude_batch.core.row_template import value_to_text
from airflow_provider_claude_batch.errors import QueryError, RowError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

#: Columns of ours in the keys of a shard; everything that we add to a row's own columns begins so.
OUR_PREFIX = "claude_"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsToRequests:
    """
    What a submission makes of every row.

    :param identity: The submission's random 16 hexadecimal digits, in front of every ``custom_id``.
    :param template: The request, compiled.
    :param key: Columns that identify a row.
    :param passthrough: Further columns that travel to the Parquet.
    :param digest_context: What else decides an answer (betas, API version, endpoint); part of every digest.
    """

    identity: str
    template: RequestTemplate
    key: tuple[str, ...]
    passthrough: tuple[str, ...]
    digest_context: bytes


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """
    One record batch of rows, encoded.

    :param requests: One compact UTF-8 JSON object a row, as it goes on the wire, in the rows' order.
    :param keys: ``claude_custom_id``, the key, the passthrough columns, ``claude_request_digest``; as many
        rows.
    :param key_hashes: One 64-bit hash of each row's key. Equal keys have equal hashes in this process.
    """

    requests: list[bytes]
    keys: pa.RecordBatch
    key_hashes: array[int]


def check_source_columns(
    columns: Sequence[str], *, key: Sequence[str], passthrough: Sequence[str], answer: Sequence[str]
) -> None:
    """
    Raise where the source's columns do not fit the key and passthrough columns.

    :param columns: Names of the source's columns.
    :param key: Columns that identify a row; at least one.
    :param passthrough: Further columns for the Parquet.
    :param answer: Columns of the output schema, which stand beside them.
    :raises QueryError: Says which column is missing, doubled or named like one of ours.
    """
    kept = [*key, *passthrough]
    missing = [name for name in kept if name not in columns]
    if missing:
        raise QueryError(
            f"The source does not return {', '.join(missing)}, only {', '.join(columns)}. Nothing was sent."
        )
    if doubled := sorted({name for name in columns if list(columns).count(name) > 1}):
        raise QueryError(f"The source returns {', '.join(doubled)} more than once. Nothing was sent.")
    if twice := sorted({name for name in kept if kept.count(name) > 1}):
        raise QueryError(f"{', '.join(twice)}: named twice in key and passthrough. Nothing was sent.")
    if both := [name for name in kept if name in answer]:
        raise QueryError(
            f"{', '.join(both)}: in the output schema and in key or passthrough. Rename one. Nothing was "
            "sent."
        )
    if ours := [name for name in kept if name.startswith(OUR_PREFIX)]:
        raise QueryError(
            f"{', '.join(ours)}: column names that begin with {OUR_PREFIX} are taken. Rename them in the "
            "query. Nothing was sent."
        )


def rows_to_requests(rows: pa.RecordBatch, how: RowsToRequests, *, first_row: int) -> EncodedRows:
    """
    Encode one record batch of rows.

    Order is kept. Holds the requests of this one record batch in memory.

    :param rows: Rows of the source, with at least the columns that ``how`` names.
    :param how: What to make of a row.
    :param first_row: Number of the first of these rows in the source, from 0; the ordinal in ``custom_id``.
    :raises RowError: A key or a value that the template uses is null, or cannot be formatted.
    """
    custom_ids = [f"{how.identity}-{first_row + i}" for i in range(rows.num_rows)]
    key_values = _key_values(rows, how, first_row)
    filled = [
        _placeholder_texts(rows, position, how, first_row)
        for position in range(len(how.template.placeholders))
    ]
    requests: list[bytes] = []
    digests: list[str] = []
    context = hashlib.sha256(how.digest_context)
    first, *rest = how.template.constants
    for i, custom_id in enumerate(custom_ids):
        pieces = [first]
        for texts, constant in zip(filled, rest, strict=True):
            pieces += (texts[i], constant)
        params = b"".join(pieces)
        digest = context.copy()
        digest.update(params)
        digests.append(digest.hexdigest()[:32])
        requests.append(b'{"custom_id":"%s","params":%s}' % (custom_id.encode(), params))
    keys = _keys(rows, how, custom_ids, digests)
    return EncodedRows(requests, keys, array("q", map(hash, key_values)))


def _key_values(rows: pa.RecordBatch, how: RowsToRequests, first_row: int) -> list[tuple[object, ...]]:
    columns = []
    for name in how.key:
        column = rows.column(name)
        if column.null_count:
            row = first_row + column.is_null().to_pylist().index(True)
            raise RowError(f"{name} is null, and it is part of the key", row=row)
        columns.append(column.to_pylist())
    values = list(zip(*columns, strict=True))
    try:
        hash(values[0] if values else ())
    except TypeError as error:
        raise QueryError(
            f"A key of {', '.join(how.key)} holds lists or structs. Nothing was sent."
        ) from error
    return values


def _placeholder_texts(
    rows: pa.RecordBatch, position: int, how: RowsToRequests, first_row: int
) -> list[bytes]:
    placeholder = how.template.placeholders[position]
    texts: list[bytes] = []
    for i, value in enumerate(rows.column(placeholder.column).to_pylist()):
        try:
            texts.append(escape_text(value_to_text(value, placeholder.spec)))
        except (TypeError, ValueError) as error:
            reason = "it is not valid Unicode" if isinstance(error, UnicodeError) else str(error)
            raise RowError(
                f"{{{placeholder.column}}} of the template cannot be filled: {reason}",
                row=first_row + i,
                key=row_key(rows, how.key, i),
            ) from None
    return texts


def row_key(rows: pa.RecordBatch, key: Sequence[str], row: int) -> str:
    """Return ``column=value`` of one row's key, for a message. Keys may appear in messages; texts may not."""
    return ", ".join(f"{name}={rows.column(name)[row].as_py()}" for name in key)


def _keys(
    rows: pa.RecordBatch, how: RowsToRequests, custom_ids: list[str], digests: list[str]
) -> pa.RecordBatch:
    import pyarrow as pa

    columns = [rows.column(name) for name in (*how.key, *how.passthrough)]
    return pa.RecordBatch.from_arrays(
        [pa.array(custom_ids, pa.string()), *columns, pa.array(digests, pa.string())],
        schema=keys_schema(rows.schema, key=how.key, passthrough=how.passthrough),
    )


def keys_schema(rows_schema: pa.Schema, *, key: Sequence[str], passthrough: Sequence[str]) -> pa.Schema:
    """
    Return the schema of a shard's keys: ours around the source's own columns, their types unchanged.

    :param rows_schema: Schema of the source.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("claude_custom_id", pa.string(), nullable=False),
            *(rows_schema.field(name) for name in (*key, *passthrough)),
            pa.field("claude_request_digest", pa.string(), nullable=False),
        ]
    )
