"""A plan costs nothing, and becomes batches when another task sends it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.airflow_standalone import AirflowStandalone
from demo.emulator_session import EmulatorSession
from demo.run import failure_logs

pytestmark = pytest.mark.airflow

ROWS = pa.table(
    {
        "shop": pa.array([1, 1, 2, 3], pa.int16()),
        "item": ["iron bar", "apple", "apple", "of a shop that is filtered out"],
        "unused": [b"\x00"] * 4,
    }
)


def test_a_plan_from_parquet_is_sent_by_another_task(
    airflow: AirflowStandalone, batch_emulator: EmulatorSession, tmp_path: Path
):
    pq.write_table(ROWS.slice(0, 2), tmp_path / "a.parquet")
    pq.write_table(ROWS.slice(2), tmp_path / "b.parquet")
    before = len(batch_emulator.client.batches)
    conf = {"source": f"{tmp_path}/*.parquet", "destination": str(tmp_path / "out")}
    airflow.rest.wait_for_dag("plan_then_send")
    airflow.rest.unpause("plan_then_send")
    run_id = airflow.rest.trigger("plan_then_send", conf)
    state = airflow.rest.wait_for_run("plan_then_send", run_id)
    assert state == "success", "\n\n".join(failure_logs(airflow.rest, "plan_then_send", run_id))
    # The two apples are one question, asked twice.
    assert "Planned and not sent: 3 rows, 0 rejected, in 1 shards with 4 requests" in airflow.rest.log_text(
        "plan_then_send", run_id, "plan", 1
    )
    assert len(batch_emulator.client.batches) == before + 1
    published = pq.read_table(tmp_path / "out" / "data.parquet")
    assert published.schema.field("shop").type == pa.int16()
    rows = sorted(
        (row["shop"], row["item"], row["claude_sample"], row["claude_outcome"])
        for row in published.to_pylist()
    )
    assert rows == [
        (shop, item, sample, "ok")
        for shop, item in [(1, "apple"), (1, "iron bar"), (2, "apple")]
        for sample in (0, 1)
    ]
