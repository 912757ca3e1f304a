"""A submission's answers back in the table that they were asked for."""

import sqlite3
from contextlib import closing

import boto3
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG

from airflow_provider_claude_batch.core.gate import Gate
from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from airflow_provider_claude_batch.submission.loading import publish_submission
from airflow_provider_claude_batch.submission.manifest_folder import require_plan
from airflow_provider_claude_batch.submission.publish import Destination
from airflow_provider_claude_batch.transfers.batch_to_sql import ClaudeBatchToSqlOperator
from tests.provider.submitting import NOW, TI


@pytest.fixture
def loaded(submission):
    """Return a submission with two samples a row, loaded and published."""
    submission.snapshot(samples_per_row=2)
    submission.send()
    submission.land()
    submission.publish()
    return submission


def write(dataset, **arguments):
    operator = ClaudeBatchToSqlOperator(
        task_id="write", dataset=dataset, sql_conn_id="warehouse", table="labels", **arguments
    )
    return operator.execute({})


def rows_of(table, sql):
    with closing(sqlite3.connect(table)) as connection:
        return connection.execute(sql).fetchall()


def test_the_manifest_says_which_files_are_written_and_by_which_key(loaded, table):
    for _ in range(2):
        assert write(loaded.folder.uri) == {"table": "labels", "rows": 10, "mode": "upsert"}
    found = rows_of(table, "select id, claude_sample, topic, claude_outcome from labels order by 1, 2")
    assert [row[:2] for row in found] == [(i, sample) for i in range(5) for sample in range(2)]
    assert all(topic in ("fruit", "metal") and outcome == "ok" for *_, topic, outcome in found)


def test_answers_with_columns_of_their_own_are_written_without_their_text(loaded, table):
    write(loaded.folder.uri)
    columns = {row[1] for row in rows_of(table, "pragma table_info(labels)")}
    assert columns == {
        "id",
        "topic",
        "claude_custom_id",
        "claude_sample",
        "claude_outcome",
        "claude_model",
    }


def test_the_answers_join_the_rows_that_they_were_asked_for(loaded, table):
    columns = {"id": "id", "claude_sample": "sample", "topic": "topic"}
    output = {"manifest": loaded.folder.uri, "files": [str(loaded.destination / "data.parquet")], "rows": 10}
    write(output, columns=columns)
    assert rows_of(table, "select count(*) from items join labels using (id)") == [(10,)]


def test_files_on_an_object_store_are_fetched(loaded, table, s3, s3_endpoint):
    boto3.client("s3", endpoint_url=s3_endpoint).upload_file(
        str(loaded.destination / "data.parquet"), "lake", "ds=2026-11-22/data.parquet"
    )
    assert write(["s3://lake/ds=2026-11-22/data.parquet"], key=["id", "claude_sample"])["rows"] == 10
    assert rows_of(table, "select count(*) from labels") == [(10,)]


def test_a_dataset_of_several_files_is_written_whole(loaded, table):
    plan, _ = require_plan(loaded.folder)
    receipt = publish_submission(
        loaded.folder,
        plan,
        Destination.at(str(loaded.destination)),
        how=PublishHow.of(partition_by=["claude_sample", "topic"]),
        gate=Gate.of(None),
        checks=(),
        rounds_stopped="",
        ti=TI,
        now=NOW,
    )
    assert receipt.files == [f"{loaded.destination}/_manifest.json"]
    assert write(loaded.folder.uri)["rows"] == 10
    output = {
        "manifest": loaded.folder.uri,
        "files": [str(loaded.destination / "_manifest.json")],
        "rows": 10,
    }
    assert write(output)["rows"] == 10
    assert rows_of(table, "select count(*), count(topic) from labels") == [(10, 10)]


def test_a_submission_that_was_not_loaded_has_nothing_to_write(submission):
    submission.snapshot()
    with pytest.raises(AirflowFailException, match="run its load first"):
        write(submission.folder.uri)


@pytest.mark.parametrize("dataset", [None, [], [None], 7, {"manifest": None, "files": []}])
def test_what_names_no_file_is_refused(dataset, table):
    with pytest.raises(AirflowFailException, match="Nothing was written"):
        write(dataset)


def test_the_dataset_and_the_table_are_templates(tmp_path):
    with DAG(dag_id="d", schedule=None):
        operator = ClaudeBatchToSqlOperator(
            task_id="write",
            dataset=["{{ ds }}.parquet"],
            sql_conn_id="w_{{ ds }}",
            table="labels_{{ ds_nodash }}",
        )
    operator.render_template_fields({"ds": "2026-01-01", "ds_nodash": "20260101"})
    assert operator.dataset == ["2026-01-01.parquet"]
    assert (operator.sql_conn_id, operator.table) == ("w_2026-01-01", "labels_20260101")
