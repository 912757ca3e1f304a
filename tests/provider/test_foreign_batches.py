"""Results without a manifest: of batches that somebody else has made."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_claude_batch.core.results_to_arrow import published_schema
from airflow_provider_claude_batch.errors import (
    BatchNotEndedError,
    ClaudeBatchInputError,
    QualityGateError,
    ResultsIncompleteError,
)
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.hooks.result_stream import Patience, ended_batch, read_results
from airflow_provider_claude_batch.transfers.batch_to_parquet import ClaudeBatchToParquetOperator
from tests.provider.submitting import LABEL, TI

SCHEMA = {
    "type": "object",
    "properties": {"topic": {"enum": ["fruit", "metal"]}, "size": {"type": "integer"}},
}
NOTE = {"type": "object", "properties": {"note": {"type": "string"}}}
TEXTS = ["apple is a fruit", "iron is a metal", "fig is a fruit", "tin is a metal", "pear is a fruit"]
FRAMINGS = ["content-length", "chunked", "none"]


@pytest.fixture
def hook(emulator):
    hook = ClaudeBatchHook()
    with hook.client:
        yield hook


def create_batch(hook, texts=TEXTS, *, schema=LABEL):
    closed = {**schema, "required": list(schema["properties"]), "additionalProperties": False}
    shape = {"output_config": {"format": {"type": "json_schema", "schema": closed}}}
    requests = [
        {
            "custom_id": f"my_own-ID_{number}",
            "params": {
                "model": "claude-haiku-5-5",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": text}],
                **shape,
            },
        }
        for number, text in enumerate(texts)
    ]
    return hook.client.messages.batches.create(requests=requests).id


def load(folder, batch_ids, **arguments):
    operator = ClaudeBatchToParquetOperator(
        task_id="load", batch_ids=batch_ids, destination=str(folder / "out"), **arguments
    )
    return operator.execute({"ti": TI})


def impatient(waits):
    return Patience(sleep=waits.append)


def test_results_come_as_the_api_sends_them(hook):
    results = list(hook.iter_results(create_batch(hook)))
    assert sorted(result["custom_id"] for result in results) == [f"my_own-ID_{i}" for i in range(5)]
    assert {result["result"]["type"] for result in results} == {"succeeded"}
    assert all(json.loads(result["result"]["message"]["content"][0]["text"]) for result in results)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("at", ["line-middle", "line-end"])
def test_results_that_break_off_go_on_behind_what_has_come(hook, emulator, framing, at):
    batch_id = create_batch(hook)
    whole = list(hook.iter_results(batch_id))
    for lines in (2, 4):
        emulator.fail_once("results", with_="cut-results", at=at, framing=framing, lines=lines)
    assert list(hook.iter_results(batch_id)) == whole
    assert emulator.faults_left == 0


def test_an_api_that_is_away_for_a_while_is_asked_again(hook, emulator):
    batch_id = create_batch(hook)
    emulator.fail("results", with_="status", status=404, times=2)
    waits = []
    patience = impatient(waits)
    batch = ended_batch(hook, batch_id, patience=patience)
    assert len(b"".join(read_results(hook, batch, patience=patience)).splitlines()) == 5
    assert waits == [0.0, 1.0]


def test_results_that_never_come_whole_are_an_error(hook, emulator):
    emulator.fail("results", with_="cut-results", at="line-end", framing="none", lines=2, times=3)
    batch_id = create_batch(hook)
    waits = []
    batch = ended_batch(hook, batch_id, patience=impatient(waits))
    with pytest.raises(ResultsIncompleteError, match="hold 2 lines, and it says that 5"):
        list(read_results(hook, batch, patience=impatient(waits)))
    assert emulator.faults_left == 0


def test_a_results_endpoint_that_stays_away_is_an_error_when_the_time_is_over(hook, emulator):
    emulator.fail("results", with_="status", status=404, times=None)
    batch = ended_batch(hook, create_batch(hook), patience=Patience())
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    patience = Patience(clock=lambda: now[0], sleep=sleep)
    with pytest.raises(ResultsIncompleteError, match="NotFoundError"):
        list(read_results(hook, batch, patience=patience))
    assert 200 < now[0] <= 300


@pytest.mark.parametrize("fault", ["foreign", "doubled", "missing"])
def test_lines_that_are_not_as_many_as_the_api_counts_are_an_error(hook, emulator, fault, tmp_path):
    emulator.fail_once("lines", with_=fault, count=1)
    with pytest.raises(ResultsIncompleteError):
        load(tmp_path, [create_batch(hook)])
    assert not (tmp_path / "out").exists()


def test_a_batch_that_runs_has_no_results_yet(hook, emulator):
    emulator.settings(seconds_per_batch=600)
    batch_id = create_batch(hook)
    with pytest.raises(BatchNotEndedError, match="in_progress"):
        hook.iter_results(batch_id)
    with pytest.raises(BatchNotEndedError, match="in_progress"):
        hook.results_df(batch_id)


def test_a_batch_of_another_workspace_is_said_to_be_none(hook):
    with pytest.raises(ClaudeBatchInputError, match="no batch msgbatch_013Zva2CMHLNnXjNJJKqJ2EF"):
        hook.iter_results("msgbatch_013Zva2CMHLNnXjNJJKqJ2EF")


def test_results_that_were_removed_are_said_to_be_gone(hook, emulator):
    batch_id = create_batch(hook)
    emulator.advance(30 * 86400)
    with pytest.raises(ClaudeBatchInputError, match="29 days"):
        hook.results_df(batch_id)


def test_a_dataframe_has_the_columns_of_the_parquet_without_the_keys(hook):
    frame = hook.results_df(create_batch(hook, schema=SCHEMA), SCHEMA)
    names = published_schema(pa.schema([]), {**SCHEMA, "additionalProperties": False}).names
    assert list(frame.columns) == ["topic", "size", *names[2:]]
    assert (frame["claude_outcome"] == "ok").all()
    assert frame.set_index("claude_custom_id")["topic"]["my_own-ID_1"] == "metal"


def test_a_whole_number_that_may_be_null_stays_one_in_a_dataframe(hook, emulator):
    emulator.fail_once("lines", with_="errored", count=1)
    frame = hook.results_df(create_batch(hook, schema=SCHEMA), SCHEMA)
    assert frame["size"].dtype == pd.Int64Dtype()
    assert frame["size"].isna().sum() == 1


def test_without_a_schema_an_answer_is_text(hook):
    frame = hook.results_df(create_batch(hook))
    assert frame.columns[0] == "claude_custom_id"
    assert set(frame["claude_text"]) == {'{"topic":"fruit"}', '{"topic":"metal"}'}


def test_a_lone_surrogate_costs_nobody_an_answer(hook, emulator):
    emulator.fail_once("lines", with_="lone-surrogate", count=1)
    batch_id = create_batch(hook, ["Say something about apples."], schema=NOTE)
    (result,) = hook.iter_results(batch_id)
    assert "\ufffd" in result["result"]["message"]["content"][0]["text"]
    json.dumps(result, ensure_ascii=False).encode()
    assert "\ufffd" in hook.results_df(batch_id)["claude_text"][0]


def test_foreign_batches_become_one_dataset_in_their_order(hook, tmp_path):
    batch_ids = [create_batch(hook), create_batch(hook, TEXTS[:2])]
    told = load(tmp_path, batch_ids, output_schema=LABEL)
    table = pq.read_table(tmp_path / "out" / "data.parquet")
    assert table["claude_batch_id"].to_pylist() == [batch_ids[0]] * 5 + [batch_ids[1]] * 2
    assert set(table["topic"].to_pylist()) == {"fruit", "metal"}
    assert (told["rows"], told["outcomes"], told["manifest"]) == (7, {"ok": 7}, None)
    assert told["files"] == [str(tmp_path / "out" / "data.parquet")]


def test_tokens_and_dollars_are_those_of_the_bill(hook, emulator, tmp_path):
    told = load(tmp_path, [create_batch(hook)])
    assert float(told["cost_usd"]) == pytest.approx(float(emulator.bill["total"]["cost_usd"]))


def test_doubled_ids_are_a_row_each_and_counted(hook, emulator, tmp_path, caplog):
    emulator.fail_once("lines", with_="doubled", count=1)
    emulator.fail_once("lines", with_="missing", count=1)
    told = load(tmp_path, [create_batch(hook)])
    ids = pq.read_table(tmp_path / "out" / "data.parquet")["claude_custom_id"].to_pylist()
    assert (told["rows"], len(ids), len(set(ids))) == (5, 5, 4)
    assert "hold 1 lines whose custom_id another line has" in caplog.text


def test_doing_it_again_puts_the_same_bytes_in_place(hook, tmp_path):
    batch_ids = [create_batch(hook)]
    load(tmp_path, batch_ids)
    before = (tmp_path / "out" / "data.parquet").read_bytes()
    load(tmp_path, batch_ids)
    assert (tmp_path / "out" / "data.parquet").read_bytes() == before


def test_the_gate_keeps_what_the_destination_had_and_says_where_the_answers_are(hook, emulator, tmp_path):
    emulator.fail_once("lines", with_="errored", share=1.0)
    with pytest.raises(AirflowFailException, match="stay with Anthropic") as caught:
        load(tmp_path, [create_batch(hook)])
    assert isinstance(caught.value.__cause__, QualityGateError)
    assert "manifest folder" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_checks_see_the_rows(hook, tmp_path):
    with pytest.raises(AirflowFailException, match="does not hold"):
        load(tmp_path, [create_batch(hook)], checks=lambda table: table.num_rows == 4)


def test_a_batch_that_runs_is_waited_for_in_the_triggerer(hook, emulator, tmp_path):
    emulator.settings(seconds_per_batch=600)
    ended = create_batch(hook)
    emulator.advance(601)
    running = create_batch(hook)
    with pytest.raises(TaskDeferred) as deferred:
        load(tmp_path, [ended, running])
    trigger = deferred.value.trigger
    assert (trigger.batch_ids, trigger.wait_for) == ([running], "all")
    emulator.advance(601)
    operator = ClaudeBatchToParquetOperator(
        task_id="load", batch_ids=[ended, running], destination=str(tmp_path / "out")
    )
    event = {"status": "ended", "waiting": [], "batch_ids": [running], "manifest": ""}
    assert operator.execute_complete({"ti": TI}, event)["rows"] == 10


def test_an_outlet_is_told_what_the_task_returns(hook, tmp_path):
    asset = Asset(name="labels", uri="file:///labels")
    operator = ClaudeBatchToParquetOperator(
        task_id="load", batch_ids=[create_batch(hook)], destination=str(tmp_path / "out"), outlets=[asset]
    )

    events = OutletEventAccessors()
    assert operator.execute({"ti": TI, "outlet_events": events}) == events[asset].extra


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"submission": "s", "batch_ids": ["b"]},
        {"submission": "s", "output_schema": LABEL},
        {"batch_ids": ["b"], "delete_after_load": True},
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments):
    with pytest.raises(ClaudeBatchInputError):
        ClaudeBatchToParquetOperator(task_id="load", destination="out", **arguments)


@pytest.mark.parametrize("batch_ids", ["msgbatch_1", [], [None], {"a": 1}, 7])
def test_what_is_no_list_of_ids_replaces_nothing(emulator, tmp_path, batch_ids):
    with pytest.raises(AirflowFailException, match="batch_ids"):
        load(tmp_path, batch_ids)
    assert not (tmp_path / "out").exists()
