import datetime as dt
import hashlib
import http.server
import json

import anthropic
import pytest
from anthropic.types import ModelInfo

from airflow_provider_claude_batch.core.check_request import ModelFacts
from airflow_provider_claude_batch.core.prices import PriceList
from airflow_provider_claude_batch.errors import ClaudeBatchInputError, SubmissionUncertainError
from airflow_provider_claude_batch.hooks.batch_body import BatchBody
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.hooks.model_facts import ModelCatalog, to_facts
from airflow_provider_claude_batch.hooks.refusals import is_temporary
from airflow_provider_claude_batch.submission.estimating import estimate_submission
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from tests.serving import serving

PRICES = PriceList.at(dt.datetime(2026, 11, 22, tzinfo=dt.UTC))


@pytest.fixture(
    params=[
        ("text/html", b"<p>Sign in to go on</p>"),
        ("application/json", b'{"status": "ok"}'),
        ("application/json", b"[]"),
        ("application/json", b"null"),
        ("application/json", b'{"id": null, "data": null, "input_tokens": null}'),
        ("application/json", b'{"id": 1, "processing_status": "ended", "data": [null, 1, {}]}'),
        ("application/json", b'{"a":' * 100_000),
        ("application/json", b"<p>Sign in to go on</p>"),
    ],
    ids=["a page", "an object", "a list", "null", "nulls", "other types", "deep", "a page said to be JSON"],
)
def gateway(request, monkeypatch):
    """Serve something else than the API at the connection ``gateway``, always with a 200."""
    content_type, body = request.param

    class Handler(http.server.BaseHTTPRequestHandler):
        """Says the same to everything."""

        def do_GET(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.do_GET()

        def log_message(self, *args):
            """Say nothing."""

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        connection = {
            "conn_type": "anthropic",
            "password": "sk-ant-test",
            "host": f"http://127.0.0.1:{server.server_port}",
        }
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY", json.dumps(connection))
        hook = ClaudeBatchHook("gateway")
        yield hook
        hook.client.close()


def test_a_batch_is_read_again_later(gateway):
    with pytest.raises(anthropic.APIResponseValidationError) as caught:
        gateway.retrieve_batch("msgbatch_1")
    assert is_temporary(caught.value)


def test_the_list_is_none_of_the_api_s(gateway):
    with pytest.raises(ClaudeBatchInputError, match="answers, but not as the API does"):
        gateway.list_batches()


def test_nothing_says_that_a_batch_is_canceled(gateway):
    with pytest.raises(anthropic.APIResponseValidationError):
        gateway.cancel_batch("msgbatch_1")


def test_nothing_is_known_of_a_model(gateway):
    catalog = ModelCatalog(gateway.client)
    assert catalog.ask("claude-haiku-5-5")
    assert (catalog.facts, catalog.unknown, catalog.list_ids()) == ({}, {}, [])


@pytest.mark.parametrize("capabilities", [None, 5, [], {}, {"batch": None, "thinking": {"types": 1}}])
def test_what_is_not_as_the_api_says_it_is_not_known_of_a_model(capabilities):
    said = {"id": "claude-haiku-5-5", "capabilities": capabilities, "max_tokens": "lots", "line": 3}
    assert to_facts(ModelInfo.construct(**said)) == ModelFacts(model="claude-haiku-5-5", version=(5, 5))


def test_nothing_is_estimated_and_the_log_says_so(submission, gateway, caplog):
    submission.snapshot()
    plan, record = require_plan(submission.folder)
    assert estimate_submission(submission.folder, plan, record, gateway, prices=PRICES) is None
    assert "The token counter cannot be asked (APIResponseValidationError)" in caplog.text


def test_a_create_may_have_made_a_batch(gateway):
    whole = b'{"requests": []}'
    digest = hashlib.sha256(whole).hexdigest()
    body = BatchBody(lambda: [whole], size=len(whole), sha256=digest, before_last_byte=lambda: None)
    with pytest.raises(SubmissionUncertainError, match="looked for"):
        gateway.create_batch(body)
