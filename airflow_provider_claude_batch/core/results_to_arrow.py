"""
Result lines and the keys of their shard to the record batches of the Parquet: one row for every request.

Lines come in any order; each row is found by the ordinal at the end of its ``custom_id``. In memory are the
keys of one shard, one bit a request, and the lines of one record batch.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from airflow_provider_claude_batch.core.check_answer import answer_checker
from airflow_provider_claude_batch.core.custom_ids import parse_custom_id
from airflow_provider_claude_batch.core.json_schema_to_arrow import (
    AnswerType,
    answer_columns,
    answer_struct,
)
from airflow_provider_claude_batch.core.manifest import TAKEN
from airflow_provider_claude_batch.core.result_lines import (
    ResultLine,
    Usage,
    answer_text,
    decode_line,
    misfit_text,
    result_to_outcome,
)
from airflow_provider_claude_batch.errors import ResultsIncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

#: Our columns, in order; they follow the row's own and the answer's. Columns are only added, at the end.
OUR_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("claude_custom_id", pa.string()),
    ("claude_batch_id", pa.string()),
    ("claude_sample", pa.int32()),
    ("claude_rounds", pa.int32()),
    ("claude_result_type", pa.string()),
    ("claude_outcome", pa.string()),
    ("claude_text", pa.string()),
    ("claude_stop_reason", pa.string()),
    ("claude_error_type", pa.string()),
    ("claude_error_message", pa.string()),
    ("claude_request_id", pa.string()),
    ("claude_model", pa.string()),
    ("claude_input_tokens", pa.int64()),
    ("claude_output_tokens", pa.int64()),
    ("claude_cache_write_5m_tokens", pa.int64()),
    ("claude_cache_write_1h_tokens", pa.int64()),
    ("claude_cache_read_tokens", pa.int64()),
    ("claude_thinking_tokens", pa.int64()),
    ("claude_service_tier", pa.string()),
    ("claude_cost_usd", pa.decimal128(20, 12)),
    ("claude_request_digest", pa.string()),
    ("claude_reused_from", pa.string()),
)
#: Bytes of lines after which a record batch is full, however few its rows.
_BYTES_PER_BATCH = 16_000_000

_KEYS_OF_OURS = ("claude_custom_id", "claude_sample", "claude_request_digest", "claude_rejected")


@dataclasses.dataclass(slots=True)
class LineCounts:
    """
    Lines as they were read.

    :param lines: All lines.
    :param foreign: Lines whose ``custom_id`` is not of this shard; they are left out.
    :param doubled: Further lines of a request that already had one; the first counts.
    :param missing: Requests without a line; they get a row with the outcome ``missing``.
    """

    lines: int = 0
    foreign: int = 0
    doubled: int = 0
    missing: int = 0


def published_schema(keys_schema: pa.Schema, json_schema: Mapping[str, object] | None) -> pa.Schema:
    """
    Return the schema of the Parquet: the row's own columns, the answer's, then ours.

    :param keys_schema: Schema of a shard's keys.
    :param json_schema: The closed output schema, or ``None``.
    """
    own = [keys_schema.field(i) for i in range(len(keys_schema)) if keys_schema.names[i] not in _KEYS_OF_OURS]
    answer = [pa.field(name, column.arrow) for name, column in _answer_columns(json_schema).items()]
    if both := sorted({field.name for field in own} & {field.name for field in answer}):
        raise ValueError(f"columns of the row and of the answer have the same name: {', '.join(both)}")
    return pa.schema([*own, *answer, *(pa.field(name, kind) for name, kind in OUR_FIELDS)])


def results_to_arrow(
    lines: Iterable[bytes],
    *,
    keys: pa.Table,
    batch_id: str | None,
    json_schema: Mapping[str, object] | None,
    counts: LineCounts,
    rows_per_batch: int = 8192,
) -> Iterator[pa.RecordBatch]:
    """
    Join the result lines of one batch with the keys of its shard.

    Rows come in the order of the lines; requests without a line and rows that were not sent follow at the
    end, in their own order.

    :param lines: One JSON object each, without the line end.
    :param keys: The shard's keys, one row a request, ordinals without a gap.
    :param batch_id: Of the batch; ``None`` where every row of the shard was rejected.
    :param json_schema: The closed output schema, or ``None``.
    :param counts: Is filled while the iterator is consumed.
    :param rows_per_batch: Rows of one record batch.
    :raises ResultsIncompleteError: A line is not a result: the stream was cut or is not the batch's.
    """
    join = _Join(keys, batch_id=batch_id, json_schema=json_schema)
    positions: list[int] = []
    pending: list[ResultLine] = []
    pending_bytes = 0
    for line in lines:
        decoded = _decode(line, counts)
        position = join.claim(decoded.custom_id, counts)
        if position is None:
            continue
        positions.append(position)
        pending.append(decoded)
        pending_bytes += len(line)
        if len(pending) >= rows_per_batch or pending_bytes >= _BYTES_PER_BATCH:
            yield join.record_batch(positions, pending)
            positions, pending, pending_bytes = [], [], 0
    if pending:
        yield join.record_batch(positions, pending)
    counts.missing = len(join.unseen())
    for missing in _cut(join.unseen(), rows_per_batch):
        yield join.missing_batch(missing)
    for rejected in _cut(join.rejected(), rows_per_batch):
        yield join.rejected_batch(rejected)


def _cut(positions: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def _decode(line: bytes, counts: LineCounts) -> ResultLine:
    counts.lines += 1
    try:
        return decode_line(line)
    except ValueError as error:
        # Neither the line nor the decoder's words: both may quote an answer.
        raise ResultsIncompleteError(
            f"line {counts.lines} of the results is not a result ({type(error).__name__}). The batch's "
            "results are kept by Anthropic for 29 days; a retry reads them again and pays nothing."
        ) from None


class _Join:
    """The keys of one shard, which of its requests have had a line, and how a line becomes a row."""

    def __init__(
        self, keys: pa.Table, *, batch_id: str | None, json_schema: Mapping[str, object] | None
    ) -> None:
        self._keys = keys.combine_chunks()
        self._batch_id = batch_id
        self._schema = published_schema(keys.schema, json_schema)
        self._answer = _answer_columns(json_schema)
        self._decoder = msgspec.json.Decoder(answer_struct(self._answer)) if self._answer else None
        self._check_rest = None if json_schema is None else answer_checker(json_schema)
        first = parse_custom_id(keys.column("claude_custom_id")[0].as_py()) if keys.num_rows else None
        self._identity, self._first_ordinal = first or ("", 0)
        self._rejected = keys.column("claude_rejected").is_valid().to_pylist()
        self._seen = bytearray(self._rejected)

    def claim(self, custom_id: str, counts: LineCounts) -> int | None:
        """Return the row of a ``custom_id`` and mark it seen, or ``None`` for a foreign or doubled one."""
        identity, ordinal = parse_custom_id(custom_id) or ("", 0)
        position = ordinal - self._first_ordinal
        is_ours = identity == self._identity and 0 <= position < len(self._seen)
        if not is_ours or self._rejected[position]:
            counts.foreign += 1
            return None
        if self._seen[position]:
            counts.doubled += 1
            return None
        self._seen[position] = 1
        return position

    def unseen(self) -> list[int]:
        """Return the requests without a line, in order."""
        return [position for position, seen in enumerate(self._seen) if not seen]

    def rejected(self) -> list[int]:
        """Return the rows that were not sent and are not taken from elsewhere, in order."""
        reasons = self._keys.column("claude_rejected").to_pylist()
        return [position for position, reason in enumerate(reasons) if reason not in (None, TAKEN)]

    def record_batch(self, positions: Sequence[int], lines: Sequence[ResultLine]) -> pa.RecordBatch:
        """Return the rows of the given lines."""
        answers = [self._checked_answer(line) for line in lines]
        columns = _line_columns(lines, misfits=[misfit for _, misfit in answers])
        columns["claude_batch_id"] = [self._batch_id] * len(lines)
        for i, (name, column) in enumerate(self._answer.items()):
            columns[name] = [
                _to_plain(getattr(a, f"f{i}"), column) if a is not None else None for a, _ in answers
            ]
        return self._assemble(positions, columns)

    def missing_batch(self, positions: Sequence[int]) -> pa.RecordBatch:
        """Return rows for requests that have no line."""
        columns: dict[str, list[object]] = {
            "claude_outcome": ["missing"] * len(positions),
            "claude_rounds": [1] * len(positions),
            "claude_batch_id": [self._batch_id] * len(positions),
        }
        return self._assemble(positions, columns)

    def rejected_batch(self, positions: Sequence[int]) -> pa.RecordBatch:
        """Return rows that were not sent, with the reason as their error message."""
        reasons = self._keys.column("claude_rejected")
        columns: dict[str, list[object]] = {
            "claude_outcome": ["rejected"] * len(positions),
            "claude_rounds": [0] * len(positions),
            "claude_error_message": [reasons[position].as_py() for position in positions],
        }
        return self._assemble(positions, columns)

    def _checked_answer(self, line: ResultLine) -> tuple[object | None, str | None]:
        """Return the answer, or ``None`` and why it is none."""
        if self._decoder is None:
            return None, None
        text = answer_text(line.result.message)
        if text is None:
            return None, "The answer has no text"
        try:
            answer = self._decoder.decode(text)
        except ValueError as error:
            return None, misfit_text(error)
        if self._check_rest is not None and (misfit := self._check_rest(text)) is not None:
            return None, f"The answer breaks output_schema: {misfit}"
        return answer, None

    def _assemble(self, positions: Sequence[int], columns: Mapping[str, list[object]]) -> pa.RecordBatch:
        keys = self._keys.take(pa.array(positions, pa.int64()))
        arrays = []
        for field in self._schema:
            if field.name in columns:
                arrays.append(pa.array(columns[field.name], field.type))
            elif field.name in keys.schema.names:
                arrays.append(keys.column(field.name).combine_chunks())
            else:
                arrays.append(pa.nulls(len(positions), field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _answer_columns(json_schema: Mapping[str, object] | None) -> dict[str, AnswerType]:
    return answer_columns(json_schema) if json_schema is not None else {}


def _to_plain(value: object, column: AnswerType) -> object:
    if column.is_json:
        text = bytes(value).decode() if isinstance(value, msgspec.Raw) else None
        return None if text == "null" else text
    return _struct_to_dict(value)


def _struct_to_dict(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return {name: _struct_to_dict(getattr(value, field)) for field, name in names}
    if isinstance(value, list):
        return [_struct_to_dict(member) for member in value]
    return value


def _line_columns(lines: Sequence[ResultLine], *, misfits: Sequence[str | None]) -> dict[str, list[object]]:
    results = [line.result for line in lines]
    messages = [result.message for result in results]
    errors = [result.error for result in results]
    outcomes = [
        result_to_outcome(result, fits_schema=misfit is None)
        for result, misfit in zip(results, misfits, strict=True)
    ]
    return {
        "claude_rounds": [1] * len(lines),
        "claude_result_type": [result.type for result in results],
        "claude_outcome": list(outcomes),
        "claude_text": [answer_text(message) for message in messages],
        "claude_stop_reason": [message.stop_reason if message else None for message in messages],
        "claude_error_type": [error.error.type if error and error.error else None for error in errors],
        "claude_error_message": [
            misfit if outcome == "invalid_output" else error.error.message if error and error.error else None
            for outcome, misfit, error in zip(outcomes, misfits, errors, strict=True)
        ],
        "claude_request_id": [error.request_id if error else None for error in errors],
        "claude_model": [message.model if message else None for message in messages],
        **_usage_columns([(message.usage if message else None) or _NOTHING_BILLED for message in messages]),
    }


#: Errored, canceled and expired requests are not billed.
#: https://platform.claude.com/docs/en/build-with-claude/batch-processing, read 2026-09-26.
_NOTHING_BILLED = Usage()


def _usage_columns(usages: Sequence[Usage]) -> dict[str, list[object]]:
    # Without a breakdown by lifetime, all that was written was written for five minutes, the API's default.
    return {
        "claude_input_tokens": [usage.input_tokens for usage in usages],
        "claude_output_tokens": [usage.output_tokens for usage in usages],
        "claude_cache_write_5m_tokens": [
            usage.cache_creation.ephemeral_5m_input_tokens
            if usage.cache_creation
            else usage.cache_creation_input_tokens or 0
            for usage in usages
        ],
        "claude_cache_write_1h_tokens": [
            usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0 for usage in usages
        ],
        "claude_cache_read_tokens": [usage.cache_read_input_tokens or 0 for usage in usages],
        "claude_thinking_tokens": [
            usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else 0
            for usage in usages
        ],
        "claude_service_tier": [usage.service_tier for usage in usages],
    }
