"""Airflow's public REST API, as far as the demo and the system tests use it."""

import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

#: States in which a Dag run stays.
FINISHED_RUN_STATES = frozenset({"success", "failed"})

TaskStates = dict[str, str | None]


class AirflowRest:
    """
    A client for one Airflow that lets everybody in as admin.

    :param base_url: Where the API server answers, without a path.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._http = httpx.Client(base_url=base_url, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def component_states(self) -> dict[str, str | None]:
        """Return the state of each Airflow component; empty where the API server does not answer yet."""
        try:
            response = self._http.get("/api/v2/monitor/health", timeout=10)
            response.raise_for_status()
        except httpx.HTTPError:
            return {}
        return {name: part["status"] for name, part in response.json().items() if part is not None}

    def wait_for_dag(self, dag_id: str, *, timeout: float = 120) -> None:
        """
        Wait until the Dag processor has stored ``dag_id``.

        :raises TimeoutError: It is not there in time; the message holds Airflow's import errors.
        """
        deadline = time.monotonic() + timeout
        while (
            self._http.get(f"/api/v2/dags/{dag_id}", headers=self._headers).status_code
            == httpx.codes.NOT_FOUND
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"Airflow knows no Dag {dag_id} after {timeout:.0f} s. {self.import_errors()}"
                )
            time.sleep(0.5)

    def import_errors(self) -> list[str]:
        """Return the stack trace of every Dag file that could not be read."""
        return [error["stack_trace"] for error in self._call("GET", "/importErrors")["import_errors"]]

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler start runs of ``dag_id``."""
        self._call("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """
        Start a run.

        :param conf: Values for the Dag's params.
        :return: The run id.
        """
        run = self._call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf or {})})
        return run["dag_run_id"]

    def dag_run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return the run as Airflow describes it."""
        return self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances as Airflow describes them, in the order of their start."""
        found = self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return sorted(found, key=lambda task: (task["start_date"] is None, task["start_date"] or ""))

    def task_states(self, dag_id: str, run_id: str) -> TaskStates:
        """Return the state of every task of the run by task id."""
        return {task["task_id"]: task["state"] for task in self.task_instances(dag_id, run_id)}

    def watch_run(self, dag_id: str, run_id: str, *, timeout: float = 300) -> Iterator[TaskStates]:
        """
        Yield the state of every task twice a second until the run has finished.

        :raises TimeoutError: It has not finished in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            state = self.dag_run(dag_id, run_id)["state"]
            states = self.task_states(dag_id, run_id)
            yield states
            if state in FINISHED_RUN_STATES:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{dag_id} {run_id} is {state} after {timeout:.0f} s: {states}")
            time.sleep(0.5)

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float = 300,
        on_change: Callable[[TaskStates], None] | None = None,
    ) -> str:
        """
        Wait until the run has finished.

        :param on_change: Called with the state of every task whenever one has changed.
        :return: The run's last state.
        :raises TimeoutError: It has not finished in time.
        """
        last: TaskStates = {}
        for states in self.watch_run(dag_id, run_id, timeout=timeout):
            if on_change is not None and states != last:
                on_change(states)
                last = states
        return self.dag_run(dag_id, run_id)["state"]

    def logs(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> list[dict[str, Any]]:
        """Return the log of one try of a task as structured lines, the trigger's lines among them."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}?full_content=true"
        return self._call("GET", path)["content"]

    def log_text(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """Return the log of one try of a task, errors and stack frames spelled out, as lines of text."""
        return "\n".join(_log_line(line) for line in self.logs(dag_id, run_id, task_id, try_number))

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return an XCom value of a task."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self._call("GET", f"{path}?deserialize=true")["value"]

    def extra_links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str | None]:
        """Return the addresses behind a task's buttons by their name."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links"
        return self._call("GET", path)["extra_links"]

    def clear(self, dag_id: str, run_id: str, task_ids: list[str] | None = None) -> None:
        """Clear the given tasks of a run, or all of them, so that they run again."""
        wanted = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
        chosen = {} if task_ids is None else {"task_ids": task_ids}
        self._call("POST", f"/dags/{dag_id}/clearTaskInstances", {**wanted, **chosen})

    @property
    def _headers(self) -> dict[str, str]:
        if "authorization" not in self._http.headers:
            response = self._http.get("/auth/token")
            response.raise_for_status()
            self._http.headers["authorization"] = f"Bearer {response.json()['access_token']}"
        return {"accept": "application/json"}

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        response = self._http.request(method, f"/api/v2{path}", json=body, headers=self._headers)
        if response.is_error:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()


def _log_line(line: str | Mapping[str, Any]) -> str:
    if isinstance(line, str):
        return line
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or ()]
    return "\n".join([str(line.get("event", "")), *errors])
