"""A query without rows skips the rest of the run, or publishes an empty dataset, as the author chose."""

from pathlib import Path

import pyarrow as pa
import pytest

from demo import report
from demo.airflow_standalone import AirflowStandalone
from demo.emulator_session import EmulatorSession
from demo.run import failure_logs

pytestmark = pytest.mark.airflow


def run_to_end(airflow: AirflowStandalone, dag_id: str, destination: Path) -> tuple[str, str]:
    """Return the id of a run and the state it ended in."""
    airflow.rest.wait_for_dag(dag_id)
    airflow.rest.unpause(dag_id)
    run_id = airflow.rest.trigger(dag_id, {"destination": str(destination)})
    return run_id, airflow.rest.wait_for_run(dag_id, run_id)


def test_no_rows_skip_every_task(airflow: AirflowStandalone, batch_emulator: EmulatorSession, tmp_path: Path):
    before = len(batch_emulator.client.batches)
    run_id, _ = run_to_end(airflow, "empty_skip", tmp_path / "labels")
    states = airflow.rest.task_states("empty_skip", run_id)
    assert states == {"submit": "skipped", "wait": "skipped", "load": "skipped"}
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(batch_emulator.client.batches) == before


def test_no_rows_publish_an_empty_dataset_with_the_full_schema(
    airflow: AirflowStandalone, batch_emulator: EmulatorSession, tmp_path: Path
):
    before = len(batch_emulator.client.batches)
    run_id, state = run_to_end(airflow, "empty_publish_empty", tmp_path / "labels")
    assert state == "success", "\n\n".join(failure_logs(airflow.rest, "empty_publish_empty", run_id))
    labels = report.read_labels(tmp_path / "labels")
    assert labels.num_rows == 0
    assert [(field.name, field.type) for field in labels.schema][:4] == [
        ("distribution_id", pa.int64()),
        ("version", pa.string()),
        ("label", pa.string()),
        ("score", pa.float64()),
    ]
    assert {"claude_custom_id", "claude_outcome", "claude_input_tokens"} <= set(labels.schema.names)
    assert len(batch_emulator.client.batches) == before
