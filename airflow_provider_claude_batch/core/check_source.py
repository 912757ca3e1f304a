"""Whether the columns of a source fit the key, the passthrough columns and the answer. Names only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.did_you_mean import did_you_mean
from airflow_provider_claude_batch.errors import SourceColumnsError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Every column of ours begins so.
OUR_PREFIX = "claude_"


def check_source_columns(
    columns: Sequence[str], *, key: Sequence[str], passthrough: Sequence[str], answer: Sequence[str]
) -> None:
    """
    Raise where the source's columns do not fit the key and passthrough columns.

    :param columns: Names of the source's columns.
    :param key: Columns that identify a row; at least one.
    :param passthrough: Further columns for the Parquet.
    :param answer: Columns of the output schema, which stand beside them.
    :raises SourceColumnsError: Says which column is missing, doubled or named like one of ours.
    """
    kept = [*key, *passthrough]
    for argument, names in (("key", key), ("passthrough", passthrough)):
        if missing := [name for name in names if name not in columns]:
            raise SourceColumnsError(
                f"{argument} names {', '.join(missing)}, but the source returns only {', '.join(columns)}."
                f"{did_you_mean(missing, columns)} Nothing was sent."
            )
    if doubled := sorted({name for name in columns if list(columns).count(name) > 1}):
        raise SourceColumnsError(f"The source returns {', '.join(doubled)} more than once. Nothing was sent.")
    if twice := sorted({name for name in kept if kept.count(name) > 1}):
        raise SourceColumnsError(f"{', '.join(twice)}: named twice in key and passthrough. Nothing was sent.")
    if both := [name for name in kept if name in answer]:
        raise SourceColumnsError(
            f"{', '.join(both)}: in the output schema and in key or passthrough. Rename one. Nothing was "
            "sent."
        )
    if ours := [name for name in kept if name.startswith(OUR_PREFIX)]:
        raise SourceColumnsError(
            f"{', '.join(ours)}: column names that begin with {OUR_PREFIX} are taken. Rename them in the "
            "query. Nothing was sent."
        )
