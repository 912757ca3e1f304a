"""What cannot be sent: each is refused with a message that says where and why, before anything is sent."""

import http.server
import json

import anthropic
import pytest

from airflow_provider_claude_batch.errors import (
    ClaudeBatchInputError,
    OutputSchemaError,
    QueryError,
    RequestTooLargeError,
    RowError,
    RowTemplateError,
    SourceColumnsError,
)
from airflow_provider_claude_batch.sources.python_rows import open_rows
from airflow_provider_claude_batch.submission.check_spec import check_spec
from airflow_provider_claude_batch.submission.snapshot import take_snapshot
from airflow_provider_claude_batch.submission.spec import make_spec
from tests.provider.submitting import LABEL, NOW
from tests.serving import serving

ALL = "select * from items order by id"
USER = {"role": "user", "content": "{body}"}


def refused(submission, emulator, error, sql=ALL, **arguments) -> str:
    """Return the message of a snapshot that is refused, once it is clear that nothing was sent."""
    with pytest.raises(error) as caught:
        submission.snapshot(sql, **arguments)
    assert type(caught.value) is error
    assert submission.folder.read_plan() is None
    assert emulator.calls.count_of("create") == 0
    assert "iron" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_tokens": 0}, "max_tokens is 0; batches take 1 or more. Nothing was sent."),
        ({"max_tokens": -1}, "max_tokens is -1; batches take 1 or more. Nothing was sent."),
        (
            {"max_tokens": 64_001},
            "$.max_tokens is 64001, and claude-haiku-5-5 answers with at most 64000. Nothing was sent.",
        ),
        (
            {"request_params": {"stream": True}},
            "$.stream is not supported: results of a batch are not streamed.",
        ),
        ({"request_params": {"speed": "fast"}}, "$.speed is not supported: batches have no speed."),
        (
            {"request_params": {"fallbacks": [{}]}},
            "$.fallbacks is not supported: batches have no server-side",
        ),
        (
            {"request_params": {"temperature": 0.5}},
            "$.temperature is not a parameter of API version 2026-10-21.",
        ),
        ({"request_params": {"top_p": 0.5}}, "$.top_p is not a parameter of API version 2026-10-21."),
        ({"request_params": {"max_token": 5}}, "$.max_token is not a parameter of the Messages API."),
        (
            {
                "model": "claude-opus-5-5",
                "request_params": {"tools": [{}], "tool_choice": {"type": "tool", "name": "a"}},
            },
            "$.tool_choice a forced tool is not supported by claude-opus-5-5: use output_schema.",
        ),
        (
            {"prompt": None, "messages": [USER, {"role": "assistant", "content": "{"}]},
            "$.messages[-1] is an assistant turn, which claude-haiku-5-5 does not continue.",
        ),
        (
            {"model": "claude-fable-5-1", "request_params": {"thinking": {"type": "disabled"}}},
            "$.thinking.type is not supported by claude-fable-5-1.",
        ),
        (
            {"request_params": {"thinking": {"type": "enabled", "budget_tokens": 2000}}},
            "$.thinking.type is not supported by claude-haiku-5-5.",
        ),
        ({"prompt": None, "messages": [{"role": "user", "content": ""}]}, "$.messages[0].content is empty."),
        ({"prompt": "  \n"}, "$.messages[0].content is empty."),
        ({"prompt": None, "messages": [{"role": "robot", "content": "x"}]}, "$.messages[0].role is neither"),
        ({"model": ""}, "model is empty. Nothing was sent."),
        ({"model": "claude haiku"}, "$.model is not the id of a model."),
        ({"key": ""}, "key names no column. Nothing was sent."),
        ({"prompt": ""}, "give exactly one of prompt, messages and build_request, and not empty."),
    ],
)
def test_what_is_wrong_with_every_request_is_said_before_the_query_runs(
    submission, emulator, arguments, said
):
    message = refused(submission, emulator, ClaudeBatchInputError, **arguments)
    assert said in message
    assert message.endswith("Nothing was sent.")


def test_a_model_that_the_api_does_not_know_is_named(submission, emulator):
    message = refused(submission, emulator, ClaudeBatchInputError, model="claude-2.1")
    assert message.startswith("model='claude-2.1': the API knows no such model (request-id req_")


def test_max_tokens_has_no_default(submission, emulator):
    with pytest.raises(ClaudeBatchInputError, match=r"^max_tokens is 0; batches take 1 or more"):
        make_spec(claude_conn_id="anthropic_default", source=[], key="id", model="m", prompt="x")
    assert emulator.calls.count_of("create") == 0


class _RetiredModel(http.server.BaseHTTPRequestHandler):
    """Says of every model that it is retired, as the API does for a while before it forgets it."""

    def do_GET(self):
        model = {
            "type": "model",
            "id": self.path.rpartition("/")[2],
            "display_name": "Claude",
            "created_at": "2023-07-11T00:00:00Z",
            "lifecycle": "retired",
            "line": None,
            "max_input_tokens": 100_000,
            "max_tokens": 4096,
            "deprecated_at": "2025-01-21T00:00:00Z",
            "retires_at": "2025-07-21T00:00:00Z",
            "capabilities": None,
        }
        body = json.dumps(model).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def retired_models():
    with (
        serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), _RetiredModel)) as server,
        anthropic.Anthropic(
            api_key="sk-ant-test", base_url=f"http://127.0.0.1:{server.server_port}"
        ) as client,
    ):
        yield client


def test_a_retired_model_is_refused(retired_models):
    spec = make_spec(
        claude_conn_id="anthropic_default",
        source=[],
        key="id",
        model="claude-2.0",
        max_tokens=5,
        prompt="x",
    )
    with pytest.raises(ClaudeBatchInputError) as caught:
        check_spec(spec, retired_models)
    assert str(caught.value) == (
        "The API would refuse every request: $.model claude-2.0 is retired. Nothing was sent."
    )


@pytest.mark.parametrize(
    ("sql", "arguments", "error", "said"),
    [
        (
            "select id, ' ' as body from items",
            {"prompt": "{body}"},
            RowError,
            "$.messages[0].content is empty",
        ),
        ("select nullif(id, 3) as id, body from items order by items.id", {}, RowError, "row 3: id is null"),
        (
            "select id, nullif(body, 'iron is number 2') as body from items order by id",
            {},
            RowError,
            "row 2 (id=2): {body} of the template is null",
        ),
        (
            "select id, null as body from items order by id",
            {"prompt": "{body}", "on_null": "empty"},
            RowError,
            "row 0 (id=0): $.messages[0].content is empty",
        ),
        (
            "select id, x'ff' as body from items",
            {},
            RowError,
            "row 0 (id=0): {body} of the template cannot be",
        ),
        (
            "select id, 'x' as body from items",
            {"prompt": "{body:d}"},
            RowError,
            "row 0 (id=0): {body} of the",
        ),
        ("select 1 as id, body from items", {}, RowError, "(id=1): the key is the same as that of row 0"),
        ("select id, cast(x'ff' as text) as body from items", {}, QueryError, "withheld"),
        (ALL, {"prompt": "{text}"}, RowTemplateError, "$.messages[0].content names {text}"),
        (
            ALL,
            {"custom_id_from": "body"},
            SourceColumnsError,
            "a value that does not fit, the first id=0; id=1.",
        ),
        (ALL, {"custom_id_from": "x"}, SourceColumnsError, "custom_id_from='x' is not a column"),
        (
            ALL,
            {"passthrough": ["lang"]},
            SourceColumnsError,
            "passthrough names lang, but the source returns only id, body",
        ),
        (
            "select id as claude_id from items",
            {"key": "claude_id", "prompt": "x"},
            SourceColumnsError,
            "claude_",
        ),
    ],
)
def test_what_is_wrong_with_a_row_names_it_and_not_its_text(
    submission, emulator, sql, arguments, error, said
):
    message = refused(submission, emulator, error, sql, **arguments)
    assert said in message
    assert message.endswith("Nothing was sent.")


def test_nulls_that_the_author_wants_left_out_are_no_requests(submission, emulator):
    plan = submission.snapshot("select id, null as body from items", prompt="{body}", on_null="reject")
    assert plan.rejected_rows == 5
    assert submission.send() == []
    assert emulator.calls.count_of("create") == 0


def test_a_request_larger_than_a_batch_is_refused(submission, emulator):
    # Each of these characters is six bytes of JSON.
    sql = "select 7 as id, printf('%.*c', 43000000, char(1)) as body"
    message = refused(submission, emulator, RequestTooLargeError, sql)
    assert message.startswith("row 0 (id=7): ")
    assert "larger than" in message


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array", "items": {"type": "string"}}, "output_schema must be an object"),
        ({"type": "object", "properties": {"x": {}}}, "Schema must have a 'type'"),
        ({"type": "object", "properties": {"x": {"type": "strin"}}}, "'strin' is not valid"),
        ({"type": "object", "properties": {"x": {"enum": [{"a": 1}]}}}, "Schema must have a 'type'"),
        ({"type": "object", "properties": {"x": {"$ref": "https://a.example/b"}}}, "which is not there"),
        ({"type": "object", "properties": {"x": {"type": "string", "pattern": "("}}}, "pattern"),
        ({"type": "object", "properties": {"claude_x": {"type": "string"}}}, "begin with claude_"),
        ("label NOSUCH", "'label NOSUCH' is not a column"),
        (7, "output_schema is a int"),
    ],
)
def test_a_schema_that_the_api_would_refuse_is_refused(submission, emulator, schema, said):
    message = refused(submission, emulator, OutputSchemaError, output_schema=schema)
    assert said in message
    assert message.endswith("Nothing was sent.")


def snapshot_rows(submission, rows, **arguments):
    """Take the snapshot of rows that Python made."""
    given = {"key": "id", "model": "claude-haiku-5-5", "max_tokens": 100, "output_schema": LABEL, **arguments}
    spec = make_spec(claude_conn_id="anthropic_default", source=["rows"], **given)
    check = check_spec(spec, submission.hook.client)
    with open_rows(rows, key=spec.key) as reader:
        return take_snapshot(
            submission.folder,
            reader,
            spec,
            identity="0123456789abcdef",
            try_number=1,
            max_tries=1,
            now=NOW,
            on_shard=lambda shard: None,
            check=check,
        )


def test_text_that_is_no_unicode_names_the_row_s_key(submission, emulator):
    rows = [{"id": 10, "body": "fine"}, {"id": 11, "body": "secret\ud800"}]
    with pytest.raises(RowError) as caught:
        snapshot_rows(submission, rows, prompt="{body}")
    assert str(caught.value) == (
        "row 1 (id=11): column body holds text that is not valid Unicode. Nothing was sent."
    )
    assert emulator.calls.count_of("create") == 0


def request_of(**params):
    return {
        "model": "claude-haiku-5-5",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "Hi"}],
        **params,
    }


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model": "claude-2.1"}, "$.model is a model that the API does not know"),
        ({"model": "secret words"}, "$.model is not the id of a model"),
        ({"model": 7}, "$.model is not the id of a model"),
        ({"model": None}, "$.model is missing"),
        ({"max_tokens": None}, "$.max_tokens is missing"),
        ({"max_tokens": 64_001}, "$.max_tokens is 64001, and claude-haiku-5-5 answers with at most 64000"),
        ({"temperature": 1}, "$.temperature is not a parameter of API version 2026-10-21"),
        ({"messages": []}, "$.messages is empty"),
        ({"model": "claude-opus-5-5", "tool_choice": {"type": "any"}}, "$.tool_choice a forced tool"),
    ],
)
def test_what_an_author_s_function_makes_is_refused_by_row_and_key(submission, emulator, params, said):
    rows = [{"id": 10}, {"id": 11}]
    with pytest.raises(RowError) as caught:
        snapshot_rows(
            submission,
            rows,
            model="",
            output_schema=None,
            build_request=lambda row: request_of(**params) if row["id"] == 11 else request_of(),
        )
    message = str(caught.value)
    assert message.startswith(f"row 1 (id=11): {said}")
    assert "secret" not in message
    assert emulator.calls.count_of("create") == 0


def test_each_model_that_an_author_s_function_names_is_asked_about_once(submission, emulator):
    models = ["claude-haiku-5-5", "claude-opus-5-5", "claude-2.1"]
    plan = snapshot_rows(
        submission,
        [{"id": i, "model": models[i % 3]} for i in range(30)],
        model="",
        output_schema=None,
        on_invalid_row="reject",
        build_request=lambda row: request_of(model=row["model"]),
    )
    assert plan.rejected_rows == 10
    assert emulator.calls.count_of("models") == 3


def test_texts_that_were_taken_for_models_are_not_all_asked_about(submission, emulator):
    plan = snapshot_rows(
        submission,
        [{"id": i} for i in range(120)],
        model="",
        output_schema=None,
        on_invalid_row="reject",
        build_request=lambda row: request_of(model=f"text-{row['id']}"),
    )
    assert plan.rejected_rows == 120
    assert emulator.calls.count_of("models") == 100
    assert emulator.calls.count_of("create") == 0


def test_a_gateway_without_models_leaves_a_function_s_models_unchecked(submission, emulator):
    emulator.fail("models", with_="status", status=500, times=None)
    plan = snapshot_rows(
        submission,
        [{"id": 1}],
        model="",
        output_schema=None,
        build_request=lambda row: request_of(model="gateway:model", max_tokens=10**6),
    )
    assert plan.rejected_rows == 0
