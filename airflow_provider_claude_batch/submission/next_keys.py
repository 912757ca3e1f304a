"""The keys of a round that follows another: the row's own, and what the rounds before say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.tally import TOKEN_KINDS
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission import names

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pyarrow as pa

    from airflow_provider_claude_batch.core.manifest import Round, ShardRecord
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder


def next_keys_schema(folder: ManifestFolder, record: Round) -> pa.Schema:
    """Return the schema of the next round's keys: as the first round's, then what the rounds before say."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with folder.folder.open(names.keys_path(record.index, 0, record.identity)) as file:
        schema = pq.read_schema(file)
    if "claude_previous_custom_id" in schema.names:
        return schema
    return pa.schema(
        [
            *schema,
            pa.field("claude_previous_custom_id", pa.string(), nullable=False),
            pa.field("claude_previous_outcome", pa.string(), nullable=False),
            *(pa.field(f"claude_prior_{kind}_tokens", pa.int64(), nullable=False) for kind in TOKEN_KINDS),
            pa.field("claude_prior_cost_usd", pa.decimal128(20, 12)),
        ]
    )


class NextKeys:
    """
    The keys of one shard's rows for the next round, taken from its results: the sums so far are there.

    :param schema: As :func:`next_keys_schema` returns it.
    :param custom_ids: Of the rows that go again, in the round that is over.
    :raises ManifestUnreadableError: Its results do not hold them once each.
    """

    def __init__(
        self,
        folder: ManifestFolder,
        record: Round,
        shard: ShardRecord,
        schema: pa.Schema,
        custom_ids: Collection[str],
    ) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        self._schema = schema
        taken = [
            name for name in schema.names if not name.startswith("claude_p") and name != "claude_rejected"
        ]
        sums = [*(f"claude_{kind}_tokens" for kind in TOKEN_KINDS), "claude_cost_usd"]
        ids = pa.array(list(custom_ids), pa.string())
        with folder.folder.open(names.results_path(record.index, shard.index)) as file:
            rows = pq.read_table(file, columns=[*taken, "claude_outcome", *sums])
        self._rows = rows.filter(pc.is_in(rows.column("claude_custom_id"), value_set=ids)).combine_chunks()
        ids_here = self._rows.column("claude_custom_id").to_pylist()
        self._at = {custom_id: position for position, custom_id in enumerate(ids_here)}
        if len(self._at) != len(custom_ids):
            raise ManifestUnreadableError(
                f"{folder.uri} holds the results of shard {shard.index} with some rows twice or not at all. "
                "Nothing was sent again."
            )

    def rows(self, custom_ids: Sequence[str]) -> pa.RecordBatch:
        """Return the keys of some rows, in the order that is given."""
        import pyarrow as pa

        rows = self._rows.take(pa.array([self._at[custom_id] for custom_id in custom_ids], pa.int64()))
        columns = []
        for field_ in self._schema:
            if field_.name == "claude_rejected":
                columns.append(pa.nulls(len(custom_ids), field_.type))
                continue
            column = rows.column(_source_of(field_.name)).combine_chunks()
            if field_.name.startswith("claude_prior_") and not field_.nullable:
                # A request without a line has no tokens, not even none of them.
                column = column.fill_null(0)
            columns.append(column.cast(field_.type))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def _source_of(name: str) -> str:
    """Return the column of the results that a column of the next keys is taken from."""
    if name.startswith("claude_prior_"):
        return name.replace("claude_prior_", "claude_")
    return {"claude_previous_custom_id": "claude_custom_id", "claude_previous_outcome": "claude_outcome"}.get(
        name, name
    )
