"""The one Airflow, emulator and warehouse that the whole test run shares."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.airflow_standalone import AirflowStandalone
from demo.emulator_session import EmulatorSession
from demo.process_session import living
from demo.run import environment
from demo.warehouse import make_warehouse
from tests.system.demo_run import REPOSITORY, DemoRun, look_around

SECONDS_PER_BATCH = 20


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("warehouse") / "warehouse.duckdb"
    make_warehouse(path)
    return path


@pytest.fixture(scope="session")
def batch_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorSession]:
    state = tmp_path_factory.mktemp("emulator") / "state"
    with EmulatorSession(state, seconds_per_batch=SECONDS_PER_BATCH) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("staging")


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, warehouse: Path, staging: Path, batch_emulator: EmulatorSession
) -> Iterator[AirflowStandalone]:
    folder = tmp_path_factory.mktemp("airflow")
    dags_folder = folder / "dags"
    dags_folder.mkdir()
    for source in (REPOSITORY / "example_dags", Path(__file__).parent / "dags"):
        for dag_file in (*source.glob("*.py"), *source.glob(".airflowignore")):
            shutil.copy(dag_file, dags_folder)
    variables = environment(warehouse, staging, batch_emulator)
    with AirflowStandalone(folder / "home", dags_folder=dags_folder, environment=variables) as running:
        yield running
        pids = running.pids()
    assert living(pids) == set()


@pytest.fixture(scope="session")
def demo_run(
    tmp_path_factory: pytest.TempPathFactory,
    airflow: AirflowStandalone,
    staging: Path,
    batch_emulator: EmulatorSession,
) -> DemoRun:
    """Run the example Dag once, looking around while its sensor is deferred."""
    destination = tmp_path_factory.mktemp("labels") / "out"
    rest = airflow.rest
    rest.wait_for_dag("label_packages")
    rest.unpause("label_packages")
    run_id = rest.trigger("label_packages", {"destination": str(destination)})
    run = DemoRun(run_id, destination, staging)
    for states in rest.watch_run("label_packages", run_id, timeout=300):
        if states.get("wait") == "deferred":
            seen = look_around(airflow, batch_emulator, run_id)
            # The state changes a moment before the process that deferred the task ends: the last look counts.
            if seen["row"][0] == "deferred" and seen["batches"][0]["processing_status"] == "in_progress":
                run.while_deferred = seen
    run.state = rest.dag_run("label_packages", run_id)["state"]
    return run
