"""A person who answers what a Dag asks, by Airflow's REST API, while the Dag runs."""

import _thread
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

LOOK_SECONDS = 0.3
PATIENCE_SECONDS = 180


class Person:
    """
    Looks for questions of a Dag's runs and answers each as told; a context manager around the run.

    A run waits for ever where its person fails, so that interrupts it, and so does a run that takes too long.

    :param api: A client of Airflow's REST API that is let in.
    :param answers: By task id: ``chosen_options`` and, where the question has a form, ``params_input``.
    """

    def __init__(self, api: Any, dag_id: str, answers: Mapping[str, Mapping[str, Any]]) -> None:
        self._api = api
        self._runs = f"/api/v2/dags/{dag_id}/dagRuns"
        self._answers = answers
        self._leaves = threading.Event()
        self._thread = threading.Thread(target=self._answer_all, daemon=True)
        self._failure = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaves.set()
        self._thread.join()
        if self._failure:
            raise RuntimeError(self._failure)

    def _answer_all(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._failure and not self._leaves.wait(LOOK_SECONDS):
            self._answer_once()
            if time.monotonic() > deadline:
                self._failure = f"the run has not finished after {PATIENCE_SECONDS} s"
        if self._failure:
            _thread.interrupt_main()

    def _answer_once(self) -> None:
        found = self._call("GET", f"{self._runs}/~/hitlDetails?response_received=false")
        for question in found.get("hitl_details", ()):
            task = question["task_instance"]
            if task["state"] in ("awaiting_input", "deferred") and task["task_id"] in self._answers:
                path = (
                    f"{self._runs}/{task['dag_run_id']}/taskInstances/{task['task_id']}/{task['map_index']}"
                )
                answer = {"params_input": {}, **self._answers[task["task_id"]]}
                self._call("PATCH", f"{path}/hitlDetails", answer)

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        response = self._api.request(method, path, json=body)
        if response.is_error:
            self._failure = f"{method} {path}: {response.status_code} {response.text}"
            return {}
        return response.json()
