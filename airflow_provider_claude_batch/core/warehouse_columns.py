"""Which columns of the dataset go back into the warehouse, and under which names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from airflow_provider_claude_batch.errors import ClaudeBatchInputError

#: ``answers`` for the default, names, names with the table's names, or ``None`` for all.
Columns = Literal["answers"] | Sequence[str] | Mapping[str, str] | None

_PREFIX = "claude_"

#: Of our columns, those that a reader of the answers asks for. Not the cost: a run that reuses an answer paid
#: nothing for it, and would write that over what was paid.
_WANTED = ("claude_custom_id", "claude_outcome", "claude_model")


def written_columns(
    names: Sequence[str], columns: Columns, *, match: Sequence[str], has_output_schema: bool
) -> dict[str, str]:
    """
    Return the columns of the dataset that are written, in order, each with its name in the table.

    :param names: Columns of the dataset.
    :param columns: What the author asks for.
    :param match: Columns of the dataset by which a row is found in the table; they must be among them.
    :param has_output_schema: The answers have columns of their own, so the default leaves their text out.
    :raises ClaudeBatchInputError: A column is not there, is named twice, or one of ``match`` is left out.
    """
    chosen = _chosen(names, columns, match=match, has_output_schema=has_output_schema)
    if missing := [name for name in (*chosen, *match) if name not in names]:
        raise ClaudeBatchInputError(
            f"the dataset has no {', '.join(missing)}, only {', '.join(names)}. Nothing was written."
        )
    if left_out := [name for name in match if name not in chosen]:
        raise ClaudeBatchInputError(
            f"columns leaves out {', '.join(left_out)}, by which rows are found in the table: add it, or "
            "give another mode or key. Nothing was written."
        )
    targets = list(chosen.values())
    if doubled := sorted({name for name in targets if targets.count(name) > 1}):
        raise ClaudeBatchInputError(
            f"two columns would be written to {', '.join(doubled)}. Nothing was written."
        )
    return chosen


def _chosen(
    names: Sequence[str], columns: Columns, *, match: Sequence[str], has_output_schema: bool
) -> dict[str, str]:
    if isinstance(columns, Mapping):
        return dict(columns)
    if columns is None:
        return {name: name for name in names}
    if not isinstance(columns, str):
        return {name: name for name in columns}
    wanted = {*_WANTED, *match} | (set() if has_output_schema else {"claude_text"})
    return {name: name for name in names if not name.startswith(_PREFIX) or name in wanted}
