import email
import email.policy
import json
import socketserver

import pytest
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import BaseNotifier

from airflow_provider_claude_batch.errors import ClaudeBatchInputError
from airflow_provider_claude_batch.notifications.report import ClaudeBatchReportNotifier
from airflow_provider_claude_batch.submission.staging import TaskInstanceId
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator
from tests.receipts import receipt
from tests.serving import serving

TI = TaskInstanceId(dag_id="label", run_id="night", task_id="load")


class SmtpServer(socketserver.StreamRequestHandler):
    """Takes one mail, as SMTP goes, and keeps it."""

    def handle(self):
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper().strip()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                mail = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    mail += part
                self.server.mails.append(email.message_from_bytes(mail, policy=email.policy.default))
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
            if command == b"QUIT":
                return


@pytest.fixture
def mails(monkeypatch):
    """The mails that arrive at the server of the connection ``smtp_default``."""
    with serving(socketserver.TCPServer(("127.0.0.1", 0), SmtpServer)) as server:
        server.mails = []
        extra = {"disable_ssl": True, "disable_tls": True}
        connection = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": server.server_address[1],
            "extra": extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        yield server.mails


@pytest.fixture
def context(submission):
    """What Airflow gives to a callback of a load."""
    submission.snapshot()
    load = ClaudeBatchToParquetOperator(
        task_id="load", submission=submission.folder.uri, destination=str(submission.destination)
    )
    return {"task": load, "ti": TI}


def body(mail):
    return mail.get_body(("html",)).get_content()


def test_a_notifier_that_is_used_again_tells_what_is_new(submission, context):
    told = []

    class Teller(BaseNotifier):
        template_fields = ("text",)

        def __init__(self, text):
            super().__init__()
            self.text = text

        def notify(self, context):
            told.append(self.text)

    notifier = ClaudeBatchReportNotifier(Teller("{{ claude_batch_receipt.rows }}"))
    for rows in (1, 2):
        submission.folder.write_receipt(receipt(rows=rows))
        notifier(dict(context))
    assert told == ["1", "2"]


def test_a_function_is_given_the_text(submission, context):
    submission.folder.write_receipt(receipt())
    told = []
    ClaudeBatchReportNotifier(told.append)(context)
    (text,) = told
    assert text.startswith("label / night / load: 100 rows published\n")


def test_another_notifier_finds_the_text_and_the_receipt_in_its_templates(submission, context, mails):
    submission.folder.write_receipt(receipt(cost_usd="4.04"))
    mail = SmtpNotifier(
        to="a@example.com",
        from_email="b@example.com",
        subject="{{ claude_batch_receipt.rows }} rows for {{ claude_batch_receipt.cost_usd }} dollars",
        html_content="<pre>{{ claude_batch_report | e }}</pre>",
    )
    ClaudeBatchReportNotifier(mail)(context)
    (arrived,) = mails
    assert arrived["Subject"] == "100 rows for 4.04 dollars"
    assert "- rows: 98 ok, 2 refused" in body(arrived)


def test_braces_in_a_name_are_not_rendered(submission, context, mails):
    submission.folder.write_receipt(receipt(run_id="{{ 1 + 1 }}"))
    mail = SmtpNotifier(to="a@b.c", from_email="b@b.c", subject="s", html_content="{{ claude_batch_report }}")
    ClaudeBatchReportNotifier(mail)(context)
    assert "label / {{ 1 + 1 }} / load" in body(mails[0])


def test_several_are_told(submission, context):
    submission.folder.write_receipt(receipt())
    told, told_too = [], []
    ClaudeBatchReportNotifier(told.append, told_too.append)(context)
    assert told == told_too != []


def test_a_load_that_published_nothing_says_where_the_records_are(submission, context):
    told = []
    ClaudeBatchReportNotifier(told.append)(context)
    assert "nothing was published" in told[0]
    assert f"claude-batch show {submission.folder.uri}" in told[0]


def test_nobody_to_tell_is_refused_when_the_dag_is_read():
    with pytest.raises(ClaudeBatchInputError, match="nobody to tell"):
        ClaudeBatchReportNotifier()


def test_a_task_without_a_submission_is_named(context):
    del context["task"].submission
    with pytest.raises(ClaudeBatchInputError, match="task load has no submission"):
        ClaudeBatchReportNotifier(print)(context)
