"""
Results of a batch that no submission here made to the record batches of the Parquet: one row for every line.

There are no keys to join: a row is known by its ``custom_id``, as whoever made the batch gave it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_claude_batch.core.answers_to_arrow import AnswerReader
from airflow_provider_claude_batch.core.result_blocks_to_arrow import (
    UNREADABLE,
    UnreadableBlockError,
    block_to_arrow,
)
from airflow_provider_claude_batch.core.results_to_arrow import LineCounts, published_schema, with_answers
from airflow_provider_claude_batch.core.tally import TOKEN_KINDS
from airflow_provider_claude_batch.errors import ResultsIncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd

    from airflow_provider_claude_batch.core.prices import PriceList


def foreign_schema(json_schema: Mapping[str, object] | None) -> pa.Schema:
    """Return the schema of the rows: the answer's columns, then ours."""
    return published_schema(pa.schema([]), json_schema)


def foreign_results_to_arrow(
    blocks: Iterable[bytes],
    *,
    batch_id: str,
    json_schema: Mapping[str, object] | None,
    counts: LineCounts,
    price_list: PriceList | None = None,
) -> Iterator[pa.RecordBatch]:
    """
    Turn the result lines of one batch into rows, in their order.

    Lines that have the same ``custom_id`` are a row each. In memory: a block and the ids of the batch.

    :param blocks: The results, cut at line ends.
    :param json_schema: The closed output schema of its answers, or ``None``.
    :param counts: Is filled while the iterator is consumed; ``doubled`` when all lines have come.
    :param price_list: Prices of the batch, or ``None`` where costs stay null.
    :raises ResultsIncompleteError: A line does not say whose result it is.
    """
    schema = foreign_schema(json_schema)
    answers = None if json_schema is None else AnswerReader(json_schema)
    custom_ids: list[pa.Array] = []
    for block in blocks:
        try:
            lines = block_to_arrow(block)
        except UnreadableBlockError as error:
            # Neither the line nor the decoder's words: both may quote an answer.
            raise ResultsIncompleteError(
                f"line {counts.lines + error.line + 1} of the results of batch {batch_id} is not a result. "
                "They are kept by Anthropic for 29 days; a retry reads them again and pays nothing."
            ) from None
        counts.lines += lines.num_rows
        counts.unreadable += pc.sum(pc.equal(lines.column("error_type"), UNREADABLE)).as_py() or 0
        custom_ids.append(lines.column("custom_id"))
        yield _rows(lines, schema, answers, price_list, batch_id=batch_id)
    counts.doubled = counts.lines - pc.count_distinct(pa.chunked_array(custom_ids, pa.string())).as_py()


def table_to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return rows as a DataFrame in which a null makes no number of another type."""
    import pandas as pd

    nullable = {
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    return table.to_pandas(types_mapper=nullable.get)


def _rows(
    lines: pa.RecordBatch,
    schema: pa.Schema,
    answers: AnswerReader | None,
    price_list: PriceList | None,
    *,
    batch_id: str,
) -> pa.RecordBatch:
    columns = {f"claude_{name}": lines.column(name) for name in lines.schema.names}
    if answers is not None:
        columns = with_answers(columns, answers)
    if price_list is not None:
        tokens = {kind: columns[f"claude_{kind}_tokens"] for kind in TOKEN_KINDS}
        columns["claude_cost_usd"] = price_list.costs_usd(
            columns["claude_model"], tokens, columns["claude_inference_geo"]
        )
    columns["claude_batch_id"] = pa.repeat(batch_id, lines.num_rows)
    columns["claude_rounds"] = pa.repeat(pa.scalar(1, pa.int32()), lines.num_rows)
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(lines.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
