"""The demo: a warehouse, the emulator, a real Airflow, and one run of the example Dag, shown and checked."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from demo import report
from demo.airflow_rest import AirflowRest, TaskStates
from demo.airflow_standalone import AirflowStandalone
from demo.emulator_session import EmulatorSession
from demo.warehouse import make_warehouse

DAG_ID = "label_packages"
SECONDS_PER_BATCH = 8
TASKS = ("submit", "wait", "load")

Say = Callable[[str], None]


def run_demo(folder: Path, *, dags_folder: Path, stay: bool) -> list[str]:
    """
    Run the demo in ``folder``, which is empty, and end every process it started.

    :param dags_folder: Holds the Dag ``label_packages``.
    :param stay: Keep Airflow and the emulator up until interrupted.
    :return: What went wrong, in sentences that have been printed.
    """
    say = _clock()
    warehouse = folder / "warehouse.duckdb"
    say(f"warehouse: {make_warehouse(warehouse)} installed Python packages in {warehouse}")
    with EmulatorSession(folder / "emulator", seconds_per_batch=SECONDS_PER_BATCH) as emulator:
        say(f"emulator of the Message Batches API at {emulator.url}")
        say("Airflow starts: scheduler, LocalExecutor, triggerer, Dag processor, API server")
        variables = environment(warehouse, folder / "staging", emulator)
        with AirflowStandalone(folder / "airflow", dags_folder=dags_folder, environment=variables) as airflow:
            say(f"Airflow is healthy at {airflow.url}")
            found = _label(folder, airflow.rest, emulator, say)
            for problem in found:
                say(f"WRONG: {problem}")
            if stay:
                say(f"Airflow stays up at {airflow.url} until Ctrl-C")
                _wait_for_interrupt()
            say("stopping every process")
    say("stopped")
    return found


def environment(warehouse: Path, staging: Path, emulator: EmulatorSession) -> dict[str, str]:
    """Return the variables that give Airflow its connections and the provider its configuration."""
    duckdb = {"conn_type": "duckdb", "host": str(warehouse.resolve())}
    return {
        "AIRFLOW_CONN_ANTHROPIC_DEFAULT": emulator.client.connection_json,
        "AIRFLOW_CONN_WAREHOUSE": json.dumps(duckdb),
        "AIRFLOW__CLAUDE_BATCH__STAGING_PATH": str(staging.resolve()),
        "AIRFLOW__CLAUDE_BATCH__BATCH_URL": emulator.batch_page,
    }


def failure_logs(rest: AirflowRest, dag_id: str, run_id: str, *, lines: int = 40) -> list[str]:
    """Return the end of the log of every failed task of a run."""
    return [
        f"task {task['task_id']}, try {task['try_number']}, failed. Its log ends with:\n" + "\n".join(tail)
        for task in rest.task_instances(dag_id, run_id)
        if task["state"] == "failed"
        for tail in [rest.log_text(dag_id, run_id, task["task_id"], task["try_number"]).splitlines()[-lines:]]
    ]


def _label(folder: Path, rest: AirflowRest, emulator: EmulatorSession, say: Say) -> list[str]:
    labels_folder = folder / "labels"
    rest.wait_for_dag(DAG_ID)
    rest.unpause(DAG_ID)
    run_id = rest.trigger(DAG_ID, {"destination": str(labels_folder.resolve())})
    say(f"Dag {DAG_ID}, run {run_id}: {rest.base_url}/dags/{DAG_ID}/runs/{run_id}")
    last = ""
    for states in rest.watch_run(DAG_ID, run_id, timeout=600):
        if (line := _progress(states, emulator)) != last:
            say(line)
            last = line
    if rest.dag_run(DAG_ID, run_id)["state"] != "success":
        return failure_logs(rest, DAG_ID, run_id) or [f"run {run_id} has failed without a failed task"]
    labels = report.read_labels(labels_folder)
    print("", *report.first_rows(labels), "", *report.summary(labels), sep="\n", flush=True)
    print(f"Parquet: {labels_folder}\n", flush=True)
    return report.problems(labels, folder / "warehouse.duckdb")


def _progress(states: TaskStates, emulator: EmulatorSession) -> str:
    tasks = "  ".join(f"{task} {states.get(task) or '-'}" for task in TASKS)
    batches = [
        f"{batch['id']} {batch['processing_status']} "
        f"({', '.join(f'{count} {name}' for name, count in batch['request_counts'].items() if count)})"
        for batch in emulator.client.batches
    ]
    return "  |  ".join([tasks, *batches])


def _wait_for_interrupt() -> None:
    """Return on the interrupt that ends a demo which was asked to stay; that one is no failure."""
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def _clock() -> Say:
    started = time.monotonic()
    return lambda text: print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)
