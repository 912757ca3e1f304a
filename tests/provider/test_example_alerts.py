"""The two alerts, from receipts and the list of batches to the mail that a person reads."""

import asyncio
import datetime as dt
import email
import email.policy
import json
import runpy
import socketserver
import threading
import warnings
from pathlib import Path

import pytest
from airflow import __version__
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.module_loading import import_string
from packaging.version import Version

from airflow_provider_claude_batch.core.manifest import to_json
from airflow_provider_claude_batch.submission.storage import Folder
from tests.provider.dag_runs import metadata_database
from tests.provider.submitting import create_batches
from tests.receipts import receipt

__all__ = ["metadata_database"]

DAG_FILE = Path(__file__).parents[2] / "example_dags" / "alerts.py"
HOUR = 3600

tells_why = pytest.mark.skipif(
    Version(__version__) < Version("3.3"), reason="before 3.3, DAG.test keeps the exception from callbacks"
)


class Mailbox(socketserver.StreamRequestHandler):
    """Takes each mail of one SMTP conversation."""

    def handle(self):
        self.reply("220 here")
        while command := self.rfile.readline().decode().strip().upper():
            if command == "DATA":
                self.reply("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                self.server.mails.append(mail)
            self.reply("221 bye" if command == "QUIT" else "250 OK")
            if command == "QUIT":
                return

    def reply(self, line):
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def mails(monkeypatch):
    """Yield the mails that a server behind ``smtp_default`` has taken."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.mails = []
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
        connection = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": server.server_address[1],
            "extra": extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.mails
        server.shutdown()


@pytest.fixture
def alerts(emulator, tmp_path, monkeypatch):
    """Return the Dag, whose tasks find the workspace and the receipts of this test."""
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__STAGING_PATH", str(tmp_path / "staging"))
    return runpy.run_path(str(DAG_FILE))["alerts"]


@pytest.fixture
def look(alerts):
    """Return a function that calls the function of a task with the Dag's own params."""
    return lambda task_id, **params: alerts.get_task(task_id).python_callable(
        {**alerts.params.dump(), **params}
    )


@pytest.fixture
def run(metadata_database, alerts, monkeypatch):
    """Return a function that runs the Dag and returns the states of its two tasks."""
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(DAG_FILE.parent)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    # DAG.test of 3.3 fails at the end of a run with a deadline, whose id it does not have.
    alerts.deadline = None

    def run():
        with warnings.catch_warnings():
            # What Airflow does by itself, reading its configuration and writing its database.
            warnings.simplefilter("ignore")
            instances = alerts.test().get_task_instances()
        return {ti.task_id: str(ti.state) for ti in instances}

    return run


@pytest.fixture
def published(tmp_path):
    """Return a function that writes the receipt of a submission that was published some hours ago."""

    def write(identity, *, hours_ago=1, **given):
        when = dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours_ago)
        name = f"_receipts/day={when.date()}/{identity}.json"
        Folder.at(str(tmp_path / "staging")).write(name, to_json(receipt(identity, now=when, **given)))

    return write


def submit_hourly(emulator, *batches, hours_each):
    """Make so many batches in each of the last hours, the last half an hour ago."""
    emulator.settings(seconds_per_batch=hours_each * HOUR)
    emulator.advance(-len(batches) * HOUR + HOUR / 2)
    for count in batches:
        create_batches(count)
        emulator.advance(HOUR)
    emulator.advance(-HOUR / 2)


def test_nothing_is_told_of_good_submissions_and_batches_that_end(run, published, emulator, mails):
    published("good", outcomes={"ok": 99, "refused": 1})
    submit_hourly(emulator, 1, 3, 3, 3, 3, hours_each=1)
    assert run() == {"failure_rate": "success", "in_progress": "success"}
    assert mails == []


@tells_why
def test_a_mail_for_each_alert_says_what_is_wrong(run, published, emulator, mails):
    published("bad", run_id="night<1>", outcomes={"ok": 90, "refused": 2, "errored": 8})
    submit_hourly(emulator, 1, 1, 1, 1, hours_each=20)
    assert run() == {"failure_rate": "failed", "in_progress": "failed"}
    told = {mail["subject"]: mail.get_body().get_content() for mail in mails}
    assert sorted(told) == ["Claude batches: failure rate", "Claude batches: in progress"]
    assert "night&lt;1&gt;" in told["Claude batches: failure rate"]
    assert "rows: 90 ok, 2 refused, 8 errored" in told["Claude batches: failure rate"]
    assert "hour by hour: [1, 2, 3, 4]" in told["Claude batches: in progress"]


@tells_why
def test_a_look_that_fails_is_told_too(run, emulator, mails):
    emulator.fail("list", with_="status", status=401, error_type="authentication_error", times=None)
    assert run() == {"failure_rate": "success", "in_progress": "failed"}
    assert [mail["subject"] for mail in mails] == ["Claude batches: in progress"]


def test_only_submissions_of_the_last_day_with_too_many_failed_rows_are_an_alert(look, published):
    published("good", run_id="good", outcomes={"ok": 99, "refused": 1})
    published("bad", run_id="bad", hours_ago=23, outcomes={"ok": 98, "refused": 2})
    published("old", run_id="old", hours_ago=25, outcomes={"ok": 0, "errored": 100})
    with pytest.raises(AirflowFailException) as alert:
        look("failure_rate")
    assert "label / bad / load: 100 rows published" in str(alert.value)
    assert "good" not in str(alert.value)
    assert "old" not in str(alert.value)


def test_the_rate_and_the_time_are_params(look, published):
    published("a", outcomes={"ok": 71, "errored": 29})
    published("b", hours_ago=30, outcomes={"ok": 71, "errored": 29})
    assert look("failure_rate", max_failure_rate=0.29) == 1
    assert look("failure_rate", max_failure_rate=0.29, hours=48) == 2


def test_a_submission_that_was_loaded_again_counts_by_its_last_load(look, published):
    published("a" * 16, hours_ago=26, outcomes={"ok": 0, "errored": 100})
    published("a" * 16, hours_ago=0.01, outcomes={"ok": 100})
    assert look("failure_rate", hours=48) == 1


def test_an_empty_submission_is_no_alert(look, published):
    published("empty", rows=0, outcomes={})
    assert look("failure_rate") == 1


def test_batches_that_come_in_and_do_not_end_are_an_alert(look, emulator):
    submit_hourly(emulator, 1, 2, 1, 3, hours_each=20)
    with pytest.raises(AirflowFailException, match=r"hour by hour: \[1, 3, 4, 7\]. They were left alone"):
        look("in_progress")


def test_batches_that_end_as_others_come_in_are_no_alert(look, emulator):
    submit_hourly(emulator, 2, 2, 2, 2, 2, 2, hours_each=2)
    assert look("in_progress") == [4, 4, 4, 4]


def test_one_batch_that_was_just_sent_is_no_alert(look, emulator):
    submit_hourly(emulator, 1, hours_each=20)
    assert look("in_progress") == [0, 0, 0, 1]
    assert look("in_progress", looks=2, least_batches=2) == [0, 1]


def test_looking_sends_nothing(look, emulator):
    submit_hourly(emulator, 1, 1, hours_each=1)
    created = emulator.calls.count_of("create")
    look("failure_rate")
    look("in_progress")
    assert emulator.calls.count_of("create") == created
    assert emulator.calls.count_of("cancel") == 0


def test_the_callback_of_the_deadline_mails(alerts, mails):
    (deadline,) = alerts.deadline

    async def call_back():
        await import_string(deadline.callback.path)(**deadline.callback.kwargs, context={})

    asyncio.run(call_back())
    assert [(mail["to"], mail["subject"]) for mail in mails] == [
        ("data-on-call@example.com", "Claude batches are not watched")
    ]
