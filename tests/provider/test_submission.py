import contextlib
import dataclasses
import json
import sqlite3

import pyarrow as pa
import pytest

from airflow_provider_claude_batch.core.manifest import SCHEMA_VERSION
from airflow_provider_claude_batch.errors import (
    BatchNotEndedError,
    ClaudeBatchInputError,
    CreateRefusedError,
    ManifestUnreadableError,
    OutputSchemaError,
    QueryError,
    ResultsIncompleteError,
    RowError,
    SnapshotChangedError,
    SubmissionUncertainError,
)
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from airflow_provider_claude_batch.submission.spec import make_spec


def test_every_row_comes_back_with_its_key_and_a_typed_answer(submission, emulator):
    submission.snapshot()
    submission.send()
    submission.land()
    published = submission.publish().sort_by("id")
    assert published.schema.field("id").type == pa.int64()
    assert published["id"].to_pylist() == [0, 1, 2, 3, 4]
    assert set(published["topic"].to_pylist()) <= {"fruit", "metal"}
    assert published["claude_outcome"].to_pylist() == ["ok"] * 5
    assert emulator.calls.count_of("create") == 1


def test_as_many_batches_as_the_limit_asks_for(submission, emulator):
    submission.snapshot(max_requests=2)
    sent = submission.send()
    assert [shard.shard.requests for shard in sent] == [2, 2, 1]
    assert [batch["request_counts"] is not None for batch in emulator.batches] == [True] * 3
    submission.land()
    assert sorted(submission.publish()["id"].to_pylist()) == [0, 1, 2, 3, 4]


def test_sending_again_sends_nothing(submission, emulator):
    submission.snapshot(max_requests=2)
    first = [sent.batch.batch_id for sent in submission.send()]
    again = submission.send()
    assert [sent.batch.batch_id for sent in again] == first
    assert not any(sent.is_new for sent in again)
    assert emulator.calls.count_of("create") == 3


@pytest.mark.parametrize("status", [400, 401, 402, 403, 413])
def test_a_definite_no_is_recorded_and_the_next_try_sends(submission, emulator, status):
    emulator.fail_once("create", with_="status", status=status, message="words about secret apples")
    submission.snapshot()
    with pytest.raises(CreateRefusedError, match=f"HTTP {status}.*nothing is billed") as caught:
        submission.send()
    assert caught.value.status_code == status
    assert emulator.batches == []
    if status == 400:
        assert "secret" not in str(caught.value)
    assert len(submission.send()) == 1
    assert len(emulator.batches) == 1


def test_a_connection_that_breaks_before_the_last_byte_leaves_no_record(submission, emulator):
    emulator.fail_once("create", after="headers", with_="reset-connection")
    submission.snapshot()
    with contextlib.suppress(CreateRefusedError, SubmissionUncertainError):
        submission.send()
    assert emulator.faults_left == 0
    assert emulator.batches == []


def test_a_snapshot_that_changed_on_disk_is_not_sent(submission, emulator):
    submission.snapshot()
    _, record = require_plan(submission.folder)
    changed = dataclasses.replace(record.shards[0], sha256="0" * 64)
    submission.folder.write_round(dataclasses.replace(record, shards=[changed]))
    with pytest.raises(SnapshotChangedError):
        submission.send()
    assert emulator.batches == []
    assert submission.folder.attempts(0, 0) == []


def test_two_senders_of_one_shard_make_one_batch(submission, emulator):
    submission.snapshot()
    folder = submission.folder

    class Late(type(folder)):
        """A second process that had read the folder before the first one wrote to it."""

        def attempts(self, round_index, shard):
            return []

        def read_batch(self, round_index, shard):
            return None

    submission.send()
    submission.folder = Late(folder.folder)
    with pytest.raises(SubmissionUncertainError, match="another process"):
        submission.send()
    assert len(emulator.batches) == 1
    assert emulator.calls.count_of("create", 200) == 1


def test_results_before_the_end_are_refused(submission, emulator):
    emulator.settings(seconds_per_batch=600)
    submission.snapshot()
    submission.send()
    with pytest.raises(BatchNotEndedError, match="in_progress"):
        submission.land()
    emulator.advance(601)
    submission.land()


@pytest.mark.parametrize("framing", ["content-length", "chunked", "none"])
@pytest.mark.parametrize("at", ["line-middle", "line-end"])
def test_results_that_break_off_are_read_again(submission, emulator, framing, at):
    emulator.fail("results", with_="cut-results", at=at, framing=framing, lines=2, times=2)
    submission.snapshot()
    submission.send()
    submission.land()
    assert emulator.faults_left == 0
    assert sorted(submission.publish()["id"].to_pylist()) == [0, 1, 2, 3, 4]


def test_results_that_never_come_whole_publish_nothing(submission, emulator):
    emulator.fail("results", with_="cut-results", at="line-end", framing="none", lines=2, times=3)
    submission.snapshot()
    submission.send()
    with pytest.raises(ResultsIncompleteError, match="a retry reads them again"):
        submission.land()
    assert not submission.destination.exists()
    assert not submission.folder.has_results(0, 0)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("errored", "errored"),
        ("expired", "expired"),
        ("canceled", "canceled"),
        ("refusal", "refused"),
        ("max_tokens", "truncated"),
        ("invalid-output", "invalid_output"),
    ],
)
def test_what_became_of_a_row_is_in_its_row(submission, emulator, fault, outcome):
    emulator.fail_once("lines", with_=fault, count=2)
    submission.snapshot()
    submission.send()
    submission.land()
    outcomes = submission.publish()["claude_outcome"].to_pylist()
    assert sorted(outcomes) == sorted(["ok"] * 3 + [outcome] * 2)


def test_tokens_are_the_ones_that_are_billed(submission, emulator):
    submission.snapshot()
    submission.send()
    submission.land()
    published = submission.publish()
    total = emulator.bill["total"]
    assert sum(published["claude_input_tokens"].to_pylist()) == total["input_tokens"]
    assert sum(published["claude_output_tokens"].to_pylist()) == total["output_tokens"]


def test_no_rows_make_no_batch_and_an_empty_dataset_with_the_full_schema(submission, emulator):
    plan = submission.snapshot("select * from items where id > 99")
    assert plan.row_count == 0
    assert submission.send() == []
    published = submission.publish()
    assert published.num_rows == 0
    assert published.schema.names[:3] == ["id", "topic", "claude_custom_id"]
    assert emulator.calls.count_of("create") == 0


@pytest.mark.parametrize(
    ("sql", "arguments", "error", "said"),
    [
        ("select * from nowhere", {}, QueryError, "nowhere"),
        ("select id, body as text from items", {}, ClaudeBatchInputError, r"\{body\}"),
        ("select 1 as id, body from items", {}, RowError, r"id=1.*the same as that of row 0"),
        ("select nullif(id, 3) as id, body from items order by items.id", {}, RowError, "row 3: id is null"),
        ("select id, nullif(body, 'iron is number 2') as body from items order by id", {}, RowError, "id=2"),
        ("select * from items", {"passthrough": ["lang"]}, QueryError, "passthrough names lang, but"),
        ("select *, 1 as topic from items", {"passthrough": ["topic"]}, QueryError, "topic: in the output"),
        ("select * from items", {"key": []}, ClaudeBatchInputError, "key names no column"),
        ("select * from items", {"max_tokens": 0}, ClaudeBatchInputError, "max_tokens is 0"),
        ("update items set id = 1", {}, QueryError, "returns no rows"),
        (
            "select * from items",
            {"model": "claude-2.1"},
            ClaudeBatchInputError,
            "model='claude-2.1': the API knows no such model",
        ),
        ("select * from items", {"max_tokens": 10**6}, ClaudeBatchInputError, r"\$\.max_tokens is 1000000"),
        (
            "select * from items",
            {"request_params": {"temperature": 1}},
            ClaudeBatchInputError,
            r"\$\.temperature",
        ),
        ("select * from items", {"request_params": {"stream": True}}, ClaudeBatchInputError, r"\$\.stream"),
        ("select * from items", {"request_params": {"modle": "x"}}, ClaudeBatchInputError, r"\$\.modle"),
        (
            "select * from items",
            {"model": "claude-opus-5-5", "request_params": {"tool_choice": {"type": "any"}, "tools": []}},
            ClaudeBatchInputError,
            r"\$\.tool_choice",
        ),
        ("select id, '' as body from items", {"prompt": "{body}"}, RowError, "id=0.*content is empty"),
        ("select * from items", {"prompt": "x", "messages": ["y"]}, ClaudeBatchInputError, "exactly one of"),
        ("select * from items", {"custom_id_from": "body"}, QueryError, "5 of these|2 of these"),
        ("select * from items", {"custom_id_from": "nothing"}, QueryError, "not a column"),
        ("select * from items", {"samples_per_row": 0}, ClaudeBatchInputError, "samples_per_row is 0"),
    ],
)
def test_bad_input_is_said_before_anything_is_sent(submission, emulator, sql, arguments, error, said):
    with pytest.raises(error, match=said) as caught:
        submission.snapshot(sql, **arguments)
    assert "iron" not in str(caught.value)
    assert submission.folder.read_plan() is None
    assert emulator.calls.count_of("create") == 0


def test_parameters_are_bound_by_the_driver(submission):
    plan = submission.snapshot("select * from items where id < ?", parameters=[2])
    assert plan.row_count == 2


def test_what_came_from_a_row_is_never_rendered(submission, emulator, table):
    hostile = "{{ conn.warehouse.password }} {% if %} {id} \x00 \u202e \U0001f600"
    with sqlite3.connect(table) as connection:
        connection.execute("update items set body = ? where id = 0", [hostile])
    connection.close()
    submission.snapshot("select * from items where id = 0", output_schema=None)
    submission.send()
    submission.land()
    assert hostile in submission.publish()["claude_text"].to_pylist()[0]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema_version": 99}', b'{"schema_version": 1}'])
def test_a_record_that_cannot_be_read_is_an_error(submission, damage):
    submission.snapshot()
    submission.folder.folder.write("r00/batch-00000.json", damage)
    with pytest.raises(ManifestUnreadableError, match=r"batch-00000\.json.*nothing is sent"):
        submission.send()


def test_records_are_plain_json_of_the_schema_version(submission):
    submission.snapshot()
    submission.send()
    for path in (
        "plan.json",
        "r00/round-0123456789abcdef.json",
        "r00/sent-00000.a1.json",
        "r00/batch-00000.json",
    ):
        assert json.loads(submission.folder.folder.read(path))["schema_version"] == SCHEMA_VERSION


def test_every_row_is_asked_as_often_as_the_author_wants(submission, emulator):
    submission.snapshot(samples_per_row=3, max_requests=4)
    submission.send()
    submission.land()
    published = submission.publish()
    pairs = zip(published["id"].to_pylist(), published["claude_sample"].to_pylist(), strict=True)
    assert sorted(pairs) == [(i, sample) for i in range(5) for sample in range(3)]


@pytest.mark.parametrize("max_requests", [100, 1])
def test_a_rejected_row_is_not_sent_and_comes_out_with_its_reason(submission, emulator, max_requests):
    plan = submission.snapshot(
        "select id, case when id in (0, 3) then '' else body end as body from items order by id",
        prompt="{body}",
        on_invalid_row="reject",
        max_requests=max_requests,
    )
    assert plan.rejected_rows == 2
    submission.send()
    submission.land()
    rows = submission.publish().sort_by("id").to_pylist()
    assert [row["claude_outcome"] for row in rows] == ["rejected", "ok", "ok", "rejected", "ok"]
    assert rows[3]["claude_error_message"] == "$.messages[0].content is empty"
    assert sum(batch["request_counts"]["succeeded"] for batch in emulator.batches) == 3


def test_a_source_of_which_every_row_is_rejected_makes_no_batch(submission, emulator):
    submission.snapshot("select id, '' as body from items", prompt="{body}", on_invalid_row="reject")
    assert submission.send() == []
    submission.land()
    assert submission.publish()["claude_outcome"].to_pylist() == ["rejected"] * 5
    assert emulator.calls.count_of("create") == 0


def test_a_readable_part_of_the_custom_id_does_not_disturb_the_way_back(submission, emulator):
    submission.snapshot(custom_id_from="id", key=["id", "body"])
    submission.send()
    submission.land()
    rows = submission.publish().sort_by("id").to_pylist()
    assert [row["claude_custom_id"].split("-")[0] for row in rows] == ["0", "1", "2", "3", "4"]


def test_betas_go_with_the_create(submission, emulator):
    submission.snapshot(
        model="claude-opus-5-5", max_tokens=200_000, betas=["output-300k-2026-03-24"], output_schema=None
    )
    submission.send()
    submission.land()
    assert submission.publish()["claude_outcome"].to_pylist() == ["ok"] * 5


def test_an_author_s_function_makes_requests_of_its_own(submission, emulator):
    submission.snapshot(
        prompt=None,
        model="",
        build_request=lambda row: {
            "model": "claude-haiku-5-5",
            "max_tokens": 10 + row["id"],
            "messages": [{"role": "user", "content": row["body"]}],
        },
        output_schema=None,
    )
    submission.send()
    submission.land()
    assert submission.publish()["claude_outcome"].to_pylist() == ["ok"] * 5


def test_an_object_whose_properties_are_not_declared_is_refused_before_anything_is_sent():
    tags = {"type": "object", "additionalProperties": {"type": "string"}}
    schema = {"type": "object", "properties": {"tags": tags}}
    with pytest.raises(OutputSchemaError, match=r"\$\.tags"):
        make_spec(
            claude_conn_id="anthropic_default",
            source=["select 1"],
            key="id",
            model="claude-haiku-5-5",
            max_tokens=1,
            prompt="{id}",
            output_schema=schema,
        )
