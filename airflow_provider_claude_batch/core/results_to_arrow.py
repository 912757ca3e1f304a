"""
A batch's results and the keys of their shard to the record batches of the Parquet: one row for every request.

Lines come in any order. A block of them is decoded in a thread while the one before it is joined. In memory
are the keys of one shard and a few blocks.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_claude_batch.core.answers_to_arrow import AnswerReader
from airflow_provider_claude_batch.core.json_schema_to_arrow import answer_columns
from airflow_provider_claude_batch.core.result_blocks_to_arrow import (
    UNREADABLE,
    UnreadableBlockError,
    block_to_arrow,
    content_texts,
)
from airflow_provider_claude_batch.core.shard_arrow_rows import ShardRows
from airflow_provider_claude_batch.errors import ResultsIncompleteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from airflow_provider_claude_batch.core.prices import PriceList
    from airflow_provider_claude_batch.core.shard_arrow_rows import Claims

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

#: Only when asked for; after all others.
CONTENT_FIELD = pa.field("claude_content", pa.string())

#: Bytes of a block. Smaller ones cost time, larger ones memory.
BLOCK_BYTES = 4_000_000

#: Blocks that are decoded before they are asked for: the writing of a row group is not waited for.
_BLOCKS_AHEAD = 3

_ROWS_WITHOUT_LINE = 8192

#: Beside the columns of lines, while they are compared.
_PRINTS = "claude_line_print"


@dataclasses.dataclass(slots=True)
class LineCounts:
    """
    Lines as they were read.

    :param lines: All lines.
    :param foreign: Lines whose ``custom_id`` is not of this shard; they are left out.
    :param doubled: Further lines of a request that already had one; the first counts.
    :param differing: Those of them that are not the first one once more, where they were compared.
    :param missing: Requests without a line; they get a row with the outcome ``missing``.
    :param missing_digest: The same for two reads in which the same requests have no line.
    :param unreadable: Lines of which little but the ``custom_id`` can be read; they get a row with the
        outcome ``errored``.
    :param succeeded: Requests that the results hold an answer to, of whatever outcome.
    """

    lines: int = 0
    foreign: int = 0
    doubled: int = 0
    differing: int = 0
    missing: int = 0
    missing_digest: str = dataclasses.field(default="", compare=False)
    unreadable: int = 0
    succeeded: int = 0

    def add(self, claims: Claims, ours: pa.RecordBatch) -> None:
        """
        Count lines.

        :param ours: Those that became rows.
        """
        is_unreadable = pc.fill_null(pc.equal(ours.column("claude_error_type"), UNREADABLE), fill_value=False)
        has_succeeded = pc.fill_null(
            pc.equal(ours.column("claude_result_type"), "succeeded"), fill_value=False
        )
        self.foreign += claims.foreign
        self.doubled += claims.doubled
        self.differing += claims.differing
        self.unreadable += pc.sum(is_unreadable, min_count=0).as_py()
        self.succeeded += pc.sum(pc.and_not(has_succeeded, is_unreadable), min_count=0).as_py()


def published_schema(
    keys_schema: pa.Schema, json_schema: Mapping[str, object] | None, *, keep_content: bool = False
) -> pa.Schema:
    """
    Return the schema of the Parquet: the row's own columns, the answer's, then ours.

    :param keys_schema: Schema of a shard's keys.
    :param json_schema: The closed output schema, or ``None``.
    :param keep_content: With the raw content blocks.
    """
    own = [field for field in keys_schema if not field.name.startswith("claude_")]
    columns = answer_columns(json_schema) if json_schema is not None else {}
    answer = [pa.field(name, column.arrow) for name, column in columns.items()]
    if both := sorted({field.name for field in own} & {field.name for field in answer}):
        raise ValueError(f"columns of the row and of the answer have the same name: {', '.join(both)}")
    ours = [pa.field(name, kind) for name, kind in OUR_FIELDS]
    return pa.schema([*own, *answer, *ours, *([CONTENT_FIELD] if keep_content else [])])


def results_to_arrow(
    blocks: Iterable[bytes],
    *,
    keys: pa.Table,
    batch_id: str | None,
    json_schema: Mapping[str, object] | None,
    counts: LineCounts,
    round_number: int = 1,
    price_list: PriceList | None = None,
    keep_content: bool = False,
    compare_doubled: bool = False,
) -> Iterator[pa.RecordBatch]:
    """
    Join the result lines of one batch with the keys of its shard.

    Rows come in the order of the lines; requests without a line and rows that were not sent follow at the
    end, in their own order. Tokens and costs that the keys know of earlier rounds are added.

    :param blocks: The results, cut at line ends.
    :param keys: The shard's keys, one row a request, ordinals without a gap.
    :param batch_id: Of the batch; ``None`` where every row of the shard was rejected.
    :param json_schema: The closed output schema, or ``None``.
    :param counts: Is filled while the iterator is consumed.
    :param round_number: From 1; ``claude_rounds`` of what was sent.
    :param price_list: Prices of the batch, or ``None`` where costs stay null.
    :param keep_content: With the raw content blocks.
    :param compare_doubled: See whether doubled lines are the same; costs time for every line.
    :raises ResultsIncompleteError: A line does not say whose result it is: the stream was cut or is not the
        batch's.
    """
    rows = ShardRows(
        keys,
        published_schema(keys.schema, json_schema, keep_content=keep_content),
        constants={"claude_batch_id": batch_id, "claude_rounds": round_number},
        price_list=price_list,
    )
    answers = None if json_schema is None else AnswerReader(json_schema)

    def decode(block: bytes) -> pa.RecordBatch:
        lines = _columns(block, answers, keep_content=keep_content)
        return lines.append_column(_PRINTS, _line_prints(block)) if compare_doubled else lines

    for lines in _decoded(blocks, decode, counts):
        counts.lines += lines.num_rows
        claims = rows.claim(
            lines.column("claude_custom_id"), lines.column(_PRINTS) if compare_doubled else None
        )
        ours = lines if len(claims.rows) == lines.num_rows else lines.take(pa.array(claims.lines))
        counts.add(claims, ours)
        yield rows.answered(claims.rows, ours)
    counts.missing = len(rows.missing())
    counts.missing_digest = hashlib.sha256(rows.missing().tobytes()).hexdigest()
    for missing in _cut(rows.missing()):
        yield rows.without_line(missing)
    for rejected in _cut(rows.rejected):
        yield rows.not_sent(rejected)


def _cut(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), _ROWS_WITHOUT_LINE):
        yield rows[start : start + _ROWS_WITHOUT_LINE]


def _decoded(
    blocks: Iterable[bytes], decode: Callable[[bytes], pa.RecordBatch], counts: LineCounts
) -> Iterator[pa.RecordBatch]:
    """Decode blocks in a thread while the ones before them are used."""
    ahead: deque[Future[pa.RecordBatch]] = deque()
    try:
        with ThreadPoolExecutor(1) as thread:
            for block in blocks:
                ahead.append(thread.submit(decode, block))
                if len(ahead) > _BLOCKS_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
    except UnreadableBlockError as error:
        # Neither the line nor the decoder's words: both may quote an answer.
        raise ResultsIncompleteError(
            f"line {counts.lines + error.line + 1} of the results is not a result. The batch's results are "
            "kept by Anthropic for 29 days; a retry reads them again and pays nothing."
        ) from None


def _columns(block: bytes, answers: AnswerReader | None, *, keep_content: bool) -> pa.RecordBatch:
    """Return what a block's lines tell, by published name, and where the tokens were made."""
    lines = block_to_arrow(block)
    columns = {f"claude_{name}": lines.column(name) for name in lines.schema.names}
    if keep_content:
        columns[CONTENT_FIELD.name] = content_texts(block)
    return pa.RecordBatch.from_pydict(columns if answers is None else with_answers(columns, answers))


def _line_prints(block: bytes) -> pa.Array:
    """Return a number for each line that is the same for lines of the same bytes."""
    return pa.array([hash(line) for line in block.split(b"\n") if line], pa.int64())


def with_answers(columns: dict[str, pa.Array], answers: AnswerReader) -> dict[str, pa.Array]:
    """Return lines with the columns of their answers; one that does not fit is an outcome of its own."""
    is_ok = pc.equal(columns["claude_outcome"], "ok")
    read = answers.read(columns["claude_text"], is_likely=is_ok)
    is_misfit = pc.and_(is_ok, read.misfits.is_valid())
    return {
        **columns,
        "claude_outcome": pc.if_else(is_misfit, "invalid_output", columns["claude_outcome"]),
        "claude_error_message": pc.if_else(is_misfit, read.misfits, columns["claude_error_message"]),
        **read.columns,
    }
