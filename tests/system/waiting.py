"""Runs of ``dags/waits.py``, each with an emulator of its own, and what a person does to them."""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from airflow_provider_claude_batch.emulator import Emulator
from demo.airflow_standalone import AirflowStandalone

HOURS = 3600

#: Longer than the triggers here rest between two looks, and than it takes Airflow to call their ``on_kill``.
SECONDS_OF_QUIET = 8

REQUEST = {
    "custom_id": "a",
    "params": {
        "model": "claude-haiku-5-5",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Hi"}],
    },
}


def create_batch(emulator: Emulator) -> str:
    """Create a batch of one request, as somebody outside Airflow does."""
    headers = {"x-api-key": "sk-ant-emulator", "anthropic-version": "2023-06-01"}
    response = httpx.post(
        f"{emulator.url}/v1/messages/batches", json={"requests": [REQUEST]}, headers=headers, trust_env=False
    )
    return response.raise_for_status().json()["id"]


def wait_until(holds: Callable[[], bool], *, what: str, timeout: float = 120) -> None:
    """
    Look twice a second until something holds.

    :raises TimeoutError: It does not in time.
    """
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:.0f} s: {what}")
        time.sleep(0.5)


@dataclass
class WaitingRun:
    """One run, and the emulator that it alone knows."""

    airflow: AirflowStandalone
    emulator: Emulator
    dag_id: str
    run_id: str

    def task(self, task_id: str) -> dict[str, Any]:
        """Return a task instance as Airflow describes it at this moment."""
        tasks = self.airflow.rest.task_instances(self.dag_id, self.run_id)
        return next(task for task in tasks if task["task_id"] == task_id)

    def reach(self, task_id: str, state: str, *, try_number: int = 1, timeout: float = 120) -> None:
        """Wait until a try of a task is in a state."""

        def has_come() -> bool:
            task = self.task(task_id)
            return (task["state"], task["try_number"]) == (state, try_number)

        wait_until(has_come, what=f"try {try_number} of {self.dag_id}.{task_id} is {state}", timeout=timeout)

    def mark_failed(self, task_id: str) -> None:
        """Fail a task as a person does."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}"
        call(self.airflow, "PATCH", path, {"new_state": "failed"})

    def clear(self, task_id: str) -> None:
        """Clear a task as a person does."""
        self.airflow.rest.clear(self.dag_id, self.run_id, [task_id])

    def seconds_of_try(self, task_id: str, number: int) -> float:
        """Return how long a try of a task took."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/tries/{number}"
        return call(self.airflow, "GET", path)["duration"]

    def log_text(self, task_id: str, try_number: int = 1) -> str:
        """Return the log of a try."""
        return self.airflow.rest.log_text(self.dag_id, self.run_id, task_id, try_number)

    def statuses(self) -> dict[str, str]:
        """Return the status of every batch of the emulator by id, the oldest first."""
        return {batch["id"]: batch["processing_status"] for batch in reversed(self.emulator.batches)}

    def canceled(self) -> list[str]:
        """Return the batches that somebody asked to cancel."""
        return [call["path"].split("/")[-2] for call in self.emulator.calls if call["operation"] == "cancel"]

    def see_looks(self, count: int) -> None:
        """Wait until somebody has looked at the batches so many times more."""
        calls = len(self.emulator.calls)
        wait_until(lambda: len(self.emulator.calls) >= calls + count, what=f"{count} looks")

    def let_the_trigger_go(self) -> None:
        """Wait until nobody has looked at the batches for so long that every trigger has come to its end."""
        calls, since = -1, time.monotonic()
        deadline = since + 120
        while time.monotonic() - since < SECONDS_OF_QUIET:
            if (now := len(self.emulator.calls)) != calls:
                calls, since = now, time.monotonic()
            if time.monotonic() > deadline:
                raise TimeoutError(f"somebody still looks at the batches of {self.dag_id}")
            time.sleep(0.5)


def start(
    airflow: AirflowStandalone,
    emulator: Emulator,
    dag_id: str,
    *,
    batch_ids: Sequence[str] = (),
    **params: str,
) -> WaitingRun:
    """
    Start a run that sends to an emulator of its own.

    :param batch_ids: What it waits for.
    :param params: Further params of the Dag.
    """
    conn_id = f"{dag_id}_{emulator.port}"
    add_connection(airflow, conn_id, emulator)
    airflow.rest.wait_for_dag(dag_id)
    airflow.rest.unpause(dag_id)
    given = {"claude_conn_id": conn_id, **({"batch_ids": list(batch_ids)} if batch_ids else {}), **params}
    return WaitingRun(airflow, emulator, dag_id, airflow.rest.trigger(dag_id, given))


def add_connection(airflow: AirflowStandalone, conn_id: str, emulator: Emulator) -> None:
    """Store an emulator as a connection."""
    call(airflow, "POST", "/connections", {"connection_id": conn_id, **json.loads(emulator.connection_json)})


def call(airflow: AirflowStandalone, method: str, path: str, body: object = None) -> Any:
    """Call Airflow's REST API."""
    with httpx.Client(base_url=airflow.url, timeout=60, trust_env=False) as client:
        token = client.get("/auth/token").raise_for_status().json()["access_token"]
        response = client.request(
            method, f"/api/v2{path}", json=body, headers={"authorization": f"Bearer {token}"}
        )
    if response.is_error:
        raise RuntimeError(f"{method} {path}: {response.status_code} {response.text}")
    return response.json()


def scheduler_knows_of_leg(airflow: AirflowStandalone, task_id: str, run_id: str) -> bool:
    """
    Return whether the scheduler has read that the process of a task that waits is over.

    An answer that is quicker than that, which no person's is, looks to it like a failed try.
    """
    of_leg = rf"task_id='{re.escape(task_id)}', run_id='{re.escape(run_id)}'"
    ended = rf"executor event with state success.*{of_leg}"
    return re.search(ended, airflow.log_path.read_text()) is not None
