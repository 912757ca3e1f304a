"""Submit tasks whose rows a function makes; each call of it leaves a line in the file ``calls``."""

from collections.abc import Iterator
from pathlib import Path

from airflow.sdk import DAG, Param, get_current_context, task

from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator

REQUEST = {
    "key": "id",
    "prompt": "What is {body} on {{ dag.dag_id }}?",
    "model": "claude-haiku-5-5",
    "max_tokens": 50,
}
PARAMS = {"folder": Param(type="string")}


def fail_once(context: object, result: object) -> None:
    """Fail the first try of a task after its work is done."""
    if get_current_context()["ti"].try_number == 1:
        raise RuntimeError("after the work")


def note_call(folder: str) -> None:
    """Leave a line for a call."""
    with (Path(folder) / "calls").open("a") as calls:
        calls.write("called\n")


def wait_and_load(submit: object) -> None:
    """Wait for what was sent and load it."""
    wait = ClaudeBatchSensor(task_id="wait", submission=submit, deferrable=True, poll_interval=1)
    load = ClaudeBatchToParquetOperator(
        task_id="load", submission=submit, destination="{{ params.folder }}/out", max_rounds=1
    )
    wait >> load


with DAG(dag_id="yielded_rows", schedule=None, params=PARAMS) as yielded_rows:

    @task
    def words() -> list[str]:
        """Return what the other function is given."""
        return ["apple {{ ds }}", "iron"]

    @task.claude_batch(retries=1, retry_delay=0, post_execute=fail_once, **REQUEST)
    def rows(bodies: list[str], folder: str, params: dict[str, str]) -> Iterator[dict[str, object]]:
        """Yield a row for each word."""
        if folder != params["folder"]:
            raise ValueError(f"{folder} is not rendered")
        note_call(folder)
        for number, body in enumerate(bodies):
            yield {"id": number, "body": body}

    wait_and_load(rows(words(), folder="{{ params.folder }}"))


with DAG(dag_id="returned_frame", schedule=None, params=PARAMS) as returned_frame:

    @task.claude_batch(poll_interval=1, **REQUEST)
    def frame(folder: str) -> object:
        """Return a DataFrame."""
        import pandas as pd

        note_call(folder)
        return pd.DataFrame({"id": [1, 2, 3], "body": ["a", "b", "c"]})

    wait_and_load(frame("{{ params.folder }}"))


with DAG(dag_id="mapped_rows", schedule=None, params=PARAMS) as mapped_rows:

    @task.claude_batch(**REQUEST)
    def count_to(last: int) -> list[dict[str, object]]:
        """Return as many rows as it is told."""
        return [{"id": number, "body": f"number {number}"} for number in range(last)]

    mapped = count_to.expand(last=[1, 3])
    ClaudeBatchSensor(task_id="wait", submission=mapped, deferrable=True) >> (
        ClaudeBatchToParquetOperator.partial(task_id="load", destination="{{ params.folder }}/out").expand(
            submission=mapped
        )
    )

with DAG(dag_id="bad_pilot", schedule=None, params=PARAMS) as bad_pilot:

    @task.claude_batch(pilot_rows=2, output_schema="topic STRING", poll_interval=1, **REQUEST)
    def pilot() -> list[dict[str, object]]:
        """Return more rows than the pilot takes."""
        return [{"id": number, "body": f"number {number}"} for number in range(5)]

    pilot()
