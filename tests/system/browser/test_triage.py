"""A person fills in the form of the triage, sees what it will cost, agrees, and sees what came of it."""

import ast
import re
from collections import Counter
from pathlib import Path

import airflow
import pyarrow.parquet as pq
import pytest

from demo.airflow_standalone import AirflowStandalone
from demo.emulator_session import EmulatorSession
from tests.system.conftest import SECONDS_PER_BATCH
from tests.system.waiting import scheduler_knows_of_leg, wait_until

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(
        airflow.__version__.startswith(("3.1.", "3.2.")), reason="these pages look so from Airflow 3.3 on"
    ),
]

DAG_ID = "triage_backfill"
LABELS = ["language", "files", "network", "other"]
TICKETS = 7

#: What a busy machine may take for the tasks before the question, and for those after it.
TASKS_TIMEOUT_MS = 240_000


class TriagePages:
    """
    The pages of Airflow that a person goes through, by what is written on them.

    :param page: An empty page of a browser.
    """

    def __init__(self, page, url: str) -> None:
        from playwright.sync_api import expect

        self._page, self._url, self._expect = page, url, expect

    def fill_in_the_form(self, destination: Path) -> None:
        """Open the form and say what is to be done, with which tickets, and where it goes."""
        self._page.goto(f"{self._url}/dags/{DAG_ID}")
        self._page.get_by_role("button", name="Trigger Dag").click()
        self._open("What is asked")
        self._text_of("Labels").fill("\n".join(LABELS))
        self._form.get_by_role("combobox", name="Model").click()
        self._form.get_by_role("option", name="Sonnet: careful").click()
        self._open("Which tickets")
        self._form.get_by_role("spinbutton", name="Tickets").fill(str(TICKETS))
        self._open("Where it goes")
        self._text_of("Folder or URL").fill(str(destination))

    def trigger(self) -> str:
        """Press the form's button and return the id of the run, whose page comes up."""
        self._form.get_by_role("button", name="Trigger", exact=True).click()
        self._page.wait_for_url(re.compile("/runs/manual__"))
        return self._page.get_by_role("heading", name="manual__").inner_text()

    def wait_for(self, task_id: str, state: str) -> None:
        """Look at the run until a task is in a state."""
        row = self._page.get_by_role("row").filter(has=self._page.get_by_role("link", name=task_id))
        self._expect(row).to_contain_text(state, timeout=TASKS_TIMEOUT_MS)

    def read_the_question(self) -> str:
        """Open the question and return what it says."""
        self._page.get_by_role("button", name="1 Required Action").click()
        self._expect(self._question).to_contain_text("Nothing was sent yet")
        return self._question.inner_text()

    def approve(self) -> None:
        """Press the button, and see that no question is left."""
        self._question.get_by_role("button", name="Approve").click()
        self._expect(self._question).to_contain_text("Pending required actions (0)")
        self._question.get_by_role("button", name="Close").click()

    def read_what_returned(self, task_id: str) -> object:
        """Return what a task has returned, as its log shows it."""
        self._page.get_by_role("row").get_by_role("link", name=task_id).click()
        returned = re.compile(r"Returned value was: (\{.*\})")
        line = self._page.get_by_role("code").filter(has_text=returned).last
        return ast.literal_eval(returned.search(line.inner_text())[1])

    @property
    def _form(self):
        return self._page.get_by_role("dialog")

    @property
    def _question(self):
        return self._page.get_by_role("dialog", name="Required Actions")

    def _open(self, section: str) -> None:
        self._form.get_by_role("button", name=section).click()

    def _text_of(self, label: str):
        # Airflow ties the label of a text to the group around it only.
        group = self._form.get_by_role("group").filter(has_text=re.compile(rf"^{label}\b"))
        return group.get_by_role("textbox")


def test_a_backlog_is_triaged_from_the_form_to_the_counts(
    page, airflow: AirflowStandalone, batch_emulator: EmulatorSession, tmp_path: Path
):
    airflow.rest.wait_for_dag(DAG_ID)
    emulator = batch_emulator.client
    batches_before = len(emulator.batches)
    pages = TriagePages(page, airflow.url)

    pages.fill_in_the_form(tmp_path / "triage")
    run_id = pages.trigger()
    pages.wait_for("triage.approve", "Awaiting Input")
    wait_until(
        lambda: scheduler_knows_of_leg(airflow, "triage.approve", run_id), what="the first leg is over"
    )
    question = pages.read_the_question()
    assert "Let claude-sonnet-5-5 triage these tickets?" in question
    assert re.search(rf"{TICKETS} requests, .* est\. \$0\.\d+", question)
    assert len(emulator.batches) == batches_before
    pages.approve()

    wait_until(lambda: len(emulator.batches) > batches_before, what="a batch is sent", timeout=240)
    emulator.advance(SECONDS_PER_BATCH)
    pages.wait_for("count_labels", "Success")
    counts = pages.read_what_returned("count_labels")
    assert emulator.batches[0]["request_counts"]["succeeded"] == TICKETS
    assert len(emulator.batches) == batches_before + 1
    given = Counter(pq.read_table(tmp_path / "triage" / "data.parquet")["area"].to_pylist())
    assert counts["tickets"] == {label: given[label] for label in LABELS}
    assert given.total() == TICKETS
    conf = airflow.rest.dag_run(DAG_ID, run_id)["conf"]
    assert (conf["taxonomy"], conf["model"], conf["limit"]) == (LABELS, "claude-sonnet-5-5", TICKETS)
