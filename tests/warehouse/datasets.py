"""Small datasets as a load publishes them, and the operator that writes them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_claude_batch.transfers.batch_to_sql import ClaudeBatchToSqlOperator


def publish(path: Path, ids, *, topic="fruit", outcomes=None, run="a", **columns) -> dict[str, object]:
    """Write a dataset of one row for each id and return the output of its load."""
    ids = list(ids)
    outcomes = outcomes or ["ok"] * len(ids)
    topics = [topic if outcome == "ok" else None for outcome in outcomes]
    table = pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "topic": pa.array(topics, pa.string()).dictionary_encode(),
            **columns,
            "claude_custom_id": pa.array([f"{run}-{i}" for i in ids], pa.string()),
            "claude_sample": pa.array([0] * len(ids), pa.int32()),
            "claude_outcome": pa.array(outcomes, pa.string()),
            "claude_text": pa.array(["{}"] * len(ids), pa.string()),
            "claude_model": pa.array(["claude-haiku-5-5"] * len(ids), pa.string()),
            "claude_cost_usd": pa.array([None] * len(ids), pa.decimal128(20, 12)),
        }
    )
    pq.write_table(table, path, row_group_size=64)
    return {"files": [str(path)], "rows": len(ids)}


def write(dataset: object, table="labels", **arguments) -> dict[str, object]:
    """Run the operator outside of a Dag."""
    given = {"key": "id", "columns": ["id", "topic", "claude_custom_id"], **arguments}
    operator = ClaudeBatchToSqlOperator(
        task_id="write", dataset=dataset, sql_conn_id="warehouse", table=table, **given
    )
    return operator.execute({})
