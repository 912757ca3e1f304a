"""What tries, crashes and stores that fail do to the money: nothing is paid twice, nothing paid is lost."""

import contextlib
import dataclasses
import json
import os
import socket
import sqlite3
import threading

import pytest

from airflow_provider_claude_batch.core.manifest import Refused
from airflow_provider_claude_batch.errors import (
    CreateRefusedError,
    DestinationError,
    OutputSchemaError,
    PartlySentError,
    StagingError,
    SubmissionUncertainError,
)
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder, require_plan
from airflow_provider_claude_batch.submission.publish import Destination
from airflow_provider_claude_batch.submission.spec import make_spec
from airflow_provider_claude_batch.submission.staging import (
    TaskInstanceId,
    open_generation,
    submission_folder,
)
from airflow_provider_claude_batch.submission.storage import Folder
from tests.provider.submitting import RULES, create_batches


@pytest.fixture
def hasty_proxy(monkeypatch):
    """Answer every create with 413 as soon as its headers are there, as a proxy does."""
    listener = socket.create_server(("127.0.0.1", 0))
    nothing = b'{"data":[],"has_more":false,"first_id":null,"last_id":null}'
    too_large = b'{"type":"error","error":{"type":"request_too_large","message":"x"}}'

    def answer(connection):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        status, body = (b"200 OK", nothing) if head.startswith(b"GET") else (b"413 Too Large", too_large)
        connection.sendall(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (status, len(body), body)
        )
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 20):
                pass

    def serve():
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as connection:
                    answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv(
        "AIRFLOW_CONN_PROXY", json.dumps({"conn_type": "anthropic", "password": "sk-ant-x", "host": url})
    )
    hook = ClaudeBatchHook("proxy")
    with hook.client:
        yield hook
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_refusal_before_the_last_byte_takes_no_later_send_back(submission, emulator, table, hasty_proxy):
    with sqlite3.connect(table) as connection:
        rows = [(100 + i, os.urandom(30_000).hex()) for i in range(300)]
        connection.executemany("insert into items values (?, ?)", rows)
    connection.close()
    submission.snapshot(output_schema=None)
    own, submission.hook = submission.hook, hasty_proxy
    with pytest.raises(CreateRefusedError):
        submission.send()
    submission.hook = own
    emulator.fail_once("create", after="accepted", with_="reset-connection")
    for _ in range(2):
        submission.send()
    assert len(emulator.batches) == 1


def test_of_two_snapshots_taken_at_the_same_time_one_is_sent_and_can_be_loaded(submission, emulator):
    first = submission.snapshot(identity="a" * 16)
    submission.send()
    late = submission.snapshot(identity="b" * 16)
    assert late == first
    submission.send()
    submission.land()
    assert submission.publish()["claude_outcome"].to_pylist() == ["ok"] * 5
    assert len(emulator.batches) == 1


def test_a_refusal_after_the_first_batch_says_what_is_paid(submission, emulator):
    submission.snapshot(max_requests=2)
    sent = []
    original = submission.hook.create_batch

    class Full(ClaudeBatchHook):
        """A workspace whose credit ends after one batch."""

        def create_batch(self, body, *, betas=()):
            if emulator.batches:
                emulator.fail_once("create", with_="status", status=402, message="no credit")
            sent.append(original(body, betas=betas))
            return sent[-1]

    submission.hook = Full()
    with submission.hook.client, pytest.raises(PartlySentError) as caught:
        submission.send()
    assert sent[0].id in str(caught.value)
    assert isinstance(caught.value.__cause__, CreateRefusedError)


def test_the_id_of_a_batch_that_cannot_be_recorded_is_in_the_error(submission, emulator):
    submission.snapshot()
    folder = submission.folder

    class Down(ManifestFolder):
        """A store that went down after the create."""

        def write_batch(self, round_index, shard, record):
            raise OSError("bucket is down")

    submission.folder = Down(folder.folder)
    with pytest.raises(SubmissionUncertainError, match="bucket is down") as caught:
        submission.send()
    assert emulator.batches[0]["id"] in str(caught.value)


def generation(submission, *, settings_digest, try_number=1, max_tries=1):
    parent = Folder.at(submission.folder.uri.rpartition("/")[0])
    found = open_generation(
        parent, settings_digest=settings_digest, try_number=try_number, max_tries=max_tries
    )
    return found.uri.rpartition("/")[2]


def test_a_retry_goes_on_and_a_clear_of_what_is_sent_opens_a_new_generation(submission, emulator):
    plan = submission.snapshot(max_requests=3)
    same = {"settings_digest": plan.settings_digest}
    assert generation(submission, **same, try_number=2) == "g00"
    assert generation(submission, settings_digest="other", try_number=2) == "g01"
    submission.send()
    assert generation(submission, **same, try_number=2) == "g00"
    assert generation(submission, settings_digest="other", try_number=2) == "g00"
    assert generation(submission, **same, try_number=3, max_tries=3) == "g01"
    assert generation(submission, **same, try_number=1) == "g01"


def test_a_half_sent_generation_is_finished_when_the_waiting_task_is_cleared(submission, emulator):
    submission.snapshot(max_requests=3)
    emulator.settings(seconds_per_batch=600)
    emulator.fail_once("create", after="accepted", with_="reset-connection")
    submission.send(rules=dataclasses.replace(RULES, max_queued_requests=1))
    assert generation(submission, settings_digest="other", try_number=2, max_tries=3) == "g00"
    assert generation(submission, settings_digest="other", try_number=1) == "g01"


def test_a_refused_generation_makes_way_for_better_arguments(submission, emulator):
    submission.snapshot()
    emulator.fail_once("create", with_="status", status=400)
    with pytest.raises(CreateRefusedError):
        submission.send()
    _, record = require_plan(submission.folder)
    ((_, refused),) = submission.folder.attempts(record.index, 0)
    assert isinstance(refused, Refused)
    assert generation(submission, settings_digest="other", try_number=1) == "g01"


@pytest.mark.parametrize("executor", ["CeleryExecutor", "LocalExecutor,KubernetesExecutor"])
def test_a_path_on_one_of_several_hosts_is_no_staging(tmp_path, monkeypatch, executor):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    instance = TaskInstanceId(dag_id="d", run_id="r", task_id="t")
    with pytest.raises(StagingError, match=r"pay again.*staging_is_shared"):
        submission_folder(str(tmp_path), instance)
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__STAGING_IS_SHARED", "True")
    assert submission_folder(str(tmp_path), instance).uri == f"{tmp_path}/d/r/t"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": r"^\p{L}+$"},
        {"type": "string", "minLength": -1},
        {"type": "string", "pattern": "(?<y>a)"},
    ],
)
def test_a_schema_that_the_load_could_not_read_is_refused_before_it_is_paid_for(schema):
    with pytest.raises(OutputSchemaError, match="Nothing was sent"):
        make_spec(
            claude_conn_id="c",
            source=[],
            key="id",
            model="m",
            max_tokens=1,
            prompt="x",
            output_schema={"type": "object", "properties": {"a": schema}},
        )


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 0.5, "maximum": 2**64},
        {"type": "integer", "minimum": 0, "exclusiveMinimum": 3},
        {"type": ["string", "null"]},
        {"enum": [None]},
        {"enum": [2**63]},
        {
            "anyOf": [
                {"type": "object", "properties": {"b": {"type": "string"}}},
                {"type": "null", "description": "nothing"},
            ]
        },
    ],
)
def test_unusual_schemas_are_paid_for_and_loaded(submission, emulator, schema):
    submission.snapshot(output_schema={"type": "object", "properties": {"a": schema}})
    submission.send()
    submission.land()
    assert submission.publish().num_rows == 5


def test_mapped_loads_write_objects_of_their_own(tmp_path):
    names = {Destination.at(str(tmp_path), map_index=index).name for index in (-1, 0, 1)}
    assert names == {"data.parquet", "data-00000.parquet", "data-00001.parquet"}
    with pytest.raises(DestinationError, match="every instance"):
        Destination.at(f"{tmp_path}/x.parquet", map_index=0)


def test_a_batch_that_answers_other_requests_publishes_nothing(submission, emulator):
    submission.snapshot()
    submission.send()
    batch = submission.folder.read_batch(0, 0)
    (other,) = create_batches()
    submission.folder.write_batch(0, 0, dataclasses.replace(batch, batch_id=other))
    with pytest.raises(RuntimeError, match="Nothing is published"):
        submission.land()
    assert not submission.folder.has_results(0, 0)
