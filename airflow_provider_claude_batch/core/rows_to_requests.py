"""
Rows of the source to the request lines of a batch, and to the keys that find the answers' way back.

Column by column: each placeholder's values are formatted and escaped as one list, then the rows are joined.
Imports pyarrow inside functions only: this module is reached from a Dag file.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_claude_batch.core.custom_ids import CustomIds, readable_parts
from airflow_provider_claude_batch.core.limits import MAX_BODY_BYTES
from airflow_provider_claude_batch.core.requests_to_shards import body_bytes
from airflow_provider_claude_batch.core.row_params import (
    BuildRequestError,
    Faults,
    built_params,
    filled_params,
)
from airflow_provider_claude_batch.errors import QueryError, RequestTooLargeError, RowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from airflow_provider_claude_batch.core.check_request import Problem
    from airflow_provider_claude_batch.core.request_template import RequestTemplate

OnNull = Literal["error", "empty", "reject"]
OnInvalidRow = Literal["fail", "reject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsToRequests:
    """
    What a submission makes of every row.

    :param identity: The submission's random 16 hexadecimal digits, in every ``custom_id``.
    :param template: The request, compiled; or ``None``, and ``build_request`` makes it of a row.
    :param key: Columns that identify a row.
    :param passthrough: Further columns that travel to the Parquet.
    :param digest_context: What else decides an answer (betas, API version, endpoint); part of every digest.
    :param check: Says what the API would refuse in ``params`` that ``build_request`` made.
    :param custom_id_from: Column whose text stands in front of every ``custom_id``, or ``None``.
    :param samples_per_row: Requests that each row becomes.
    :param on_null: What a null in the template means.
    :param on_invalid_row: What a row that cannot be sent means: an error, or a row of its own in the Parquet.
    :param max_body_bytes: Bytes of a batch's body; a request that does not fit alone cannot be sent.
    """

    identity: str
    template: RequestTemplate | None
    key: tuple[str, ...]
    passthrough: tuple[str, ...]
    digest_context: bytes
    build_request: Callable[[dict[str, object]], Mapping[str, object]] | None = None
    check: Callable[[Mapping[str, object]], list[Problem]] | None = None
    custom_id_from: str | None = None
    samples_per_row: int = 1
    on_null: OnNull = "error"
    on_invalid_row: OnInvalidRow = "fail"
    max_body_bytes: int = MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """
    One record batch of rows, encoded; ``samples_per_row`` entries for each row, one after the other.

    :param requests: One compact UTF-8 JSON object each, as it goes on the wire, in the rows' order; empty
        where the row is rejected.
    :param keys: Schema of :func:`keys_schema`; as many rows as ``requests``.
    :param key_hashes: One 64-bit hash of each row's key. Equal keys have equal hashes in this process.
    :param rejected_rows: Rows that are not sent.
    """

    requests: list[bytes]
    keys: pa.RecordBatch
    key_hashes: array[int]
    rejected_rows: int


def rows_to_requests(rows: pa.RecordBatch, how: RowsToRequests, *, first_row: int) -> EncodedRows:
    """
    Encode one record batch of rows.

    Order is kept. Holds the requests of this one record batch in memory.

    :param rows: Rows of the source, with at least the columns that ``how`` names.
    :param how: What to make of a row.
    :param first_row: Number of the first of these rows in the source, from 0.
    :raises RowError: A key is null, or a row cannot be sent and ``on_invalid_row`` is ``fail``.
    """
    hashes = array("q", map(hash, _key_values(rows, how, first_row)))
    faults = Faults()
    if how.build_request is not None:
        params = _built(rows, how, faults, first_row)
    elif how.template is not None:
        params = filled_params(rows, how.template, on_null=how.on_null, faults=faults)
    else:
        raise ValueError("neither a template nor build_request")
    ids = CustomIds(
        identity=how.identity,
        first_ordinal=first_row * how.samples_per_row,
        samples=how.samples_per_row,
        readable=readable_parts(rows, how.custom_id_from, identity=how.identity, key=how.key),
    )
    custom_ids = [
        ids.at(row, sample) for row in range(rows.num_rows) for sample in range(how.samples_per_row)
    ]
    requests = _requests(params, custom_ids, how)
    too_large = max(map(len, requests), default=0) > how.max_body_bytes - body_bytes(1, 0)
    for position, request in enumerate(requests if too_large else ()):
        if request and body_bytes(1, len(request)) > how.max_body_bytes:
            faults.add(position // how.samples_per_row, "the request alone is larger than a batch may be")
    _raise_or_reject(faults, rows, how, first_row)
    for position in range(len(requests) if faults.reasons else 0):
        if position // how.samples_per_row in faults.reasons:
            requests[position] = b""
    keys = _keys(rows, how, custom_ids, params, faults)
    return EncodedRows(requests, keys, hashes, len(faults.reasons))


def _built(rows: pa.RecordBatch, how: RowsToRequests, faults: Faults, first_row: int) -> list[bytes]:
    if how.build_request is None:
        raise ValueError("no build_request")
    try:
        return built_params(rows, how.build_request, how.check, faults)
    except BuildRequestError as error:
        raise RowError(str(error), row=first_row + error.row, key=row_key(rows, how.key, error.row)) from None


def _requests(params: Sequence[bytes], custom_ids: Sequence[str], how: RowsToRequests) -> list[bytes]:
    each = (
        params
        if how.samples_per_row == 1
        else [encoded for encoded in params for _ in range(how.samples_per_row)]
    )
    return [
        b"".join((b'{"custom_id":"', custom_id.encode(), b'","params":', encoded, b"}")) if encoded else b""
        for custom_id, encoded in zip(custom_ids, each, strict=True)
    ]


def _raise_or_reject(faults: Faults, rows: pa.RecordBatch, how: RowsToRequests, first_row: int) -> None:
    failing = faults.first(including_rejected=False) if how.on_invalid_row == "fail" else None
    if failing is not None:
        row, reason = failing
        kind = RequestTooLargeError if "larger than" in reason else RowError
        raise kind(reason, row=first_row + row, key=row_key(rows, how.key, row))


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


def row_key(rows: pa.RecordBatch, key: Sequence[str], row: int) -> str:
    """Return ``column=value`` of one row's key, for a message. Keys may appear there; texts may not."""
    return ", ".join(f"{name}={rows.column(name)[row].as_py()}" for name in key)


def _keys(
    rows: pa.RecordBatch,
    how: RowsToRequests,
    custom_ids: Sequence[str],
    params: Sequence[bytes],
    faults: Faults,
) -> pa.RecordBatch:
    import pyarrow as pa

    samples = range(how.samples_per_row)
    context = hashlib.sha256(how.digest_context)
    positions = pa.array([row for row in range(rows.num_rows) for _ in samples], pa.int64())
    own = [rows.column(name) for name in (*how.key, *how.passthrough)]
    digests = [_digest(context, encoded) for encoded in params]
    reasons = [faults.reasons.get(row) for row in range(rows.num_rows)]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(custom_ids, pa.string()),
            pa.array([sample for _ in range(rows.num_rows) for sample in samples], pa.int32()),
            *(column if how.samples_per_row == 1 else column.take(positions) for column in own),
            pa.array([digest for digest in digests for _ in samples], pa.string()),
            pa.array([reason for reason in reasons for _ in samples], pa.string()),
        ],
        schema=keys_schema(rows.schema, key=how.key, passthrough=how.passthrough),
    )


def _digest(context: hashlib._Hash, params: bytes) -> str:
    digest = context.copy()
    digest.update(params)
    return digest.hexdigest()[:32]


def keys_schema(rows_schema: pa.Schema, *, key: Sequence[str], passthrough: Sequence[str]) -> pa.Schema:
    """
    Return the schema of a shard's keys: ours around the source's own columns, their types unchanged.

    ``claude_rejected`` says why a row is not sent, and is null for one that is.

    :param rows_schema: Schema of the source.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("claude_custom_id", pa.string(), nullable=False),
            pa.field("claude_sample", pa.int32(), nullable=False),
            *(rows_schema.field(name) for name in (*key, *passthrough)),
            pa.field("claude_request_digest", pa.string(), nullable=False),
            pa.field("claude_rejected", pa.string()),
        ]
    )
