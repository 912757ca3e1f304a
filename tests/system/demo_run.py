"""What the system tests remember of one run of the example Dag."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.airflow_standalone import AirflowStandalone
from demo.emulator_session import EmulatorSession

REPOSITORY = Path(__file__).parents[2]


@dataclass
class DemoRun:
    """One run of the example Dag: where things are, what was seen while it waited, and how it ended."""

    run_id: str
    destination: Path
    staging: Path
    state: str = "running"
    while_deferred: dict[str, Any] = field(default_factory=dict)


def look_around(airflow: AirflowStandalone, emulator: EmulatorSession, run_id: str) -> dict[str, Any]:
    """Return what Airflow and the API say of a waiting run at this moment."""
    batch_ids = airflow.rest.xcom("label_packages", run_id, "submit", "batch_ids")
    batches = [batch for batch in emulator.client.batches if batch["id"] in batch_ids]
    titles = airflow.process_titles()
    links = airflow.rest.extra_links("label_packages", run_id, "wait")
    query = "select state, trigger_id, id from task_instance where run_id = ? and task_id = 'wait'"
    row = airflow.metadata_rows(query, (run_id,))[0]
    return {"batches": batches, "titles": titles, "links": links, "row": row}
