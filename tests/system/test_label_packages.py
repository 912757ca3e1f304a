"""The example Dag on a real Airflow: every installed distribution, through the emulator, into Parquet."""

import ast
import json
from pathlib import Path

import duckdb
import httpx
import pyarrow as pa
import pytest

from demo import report
from demo.airflow_standalone import AirflowStandalone
from demo.emulator_session import EmulatorSession
from demo.run import failure_logs
from demo.topics import TOPICS
from tests.system.demo_run import REPOSITORY, DemoRun

pytestmark = pytest.mark.airflow

DAG_ID = "label_packages"


@pytest.fixture
def labels(demo_run: DemoRun, airflow: AirflowStandalone) -> pa.Table:
    assert demo_run.state == "success", "\n\n".join(failure_logs(airflow.rest, DAG_ID, demo_run.run_id))
    return report.read_labels(demo_run.destination)


def submission_folder(run: DemoRun) -> Path:
    (plan,) = run.staging.glob(f"{DAG_ID}/*/submit/**/plan.json")
    return plan.parent


def test_every_distribution_has_one_row_and_a_topic_of_the_list(labels: pa.Table, warehouse: Path):
    assert labels.num_rows > 100
    assert report.problems(labels, warehouse) == []


def test_key_and_passthrough_columns_come_first_with_the_warehouse_s_types(labels: pa.Table):
    first = [(field.name, field.type) for field in labels.schema][:4]
    assert first == [
        ("distribution_id", pa.int64()),
        ("name", pa.string()),
        ("version", pa.string()),
        ("trove_topic", pa.string()),
    ]


def test_answer_columns_follow_and_the_rest_is_prefixed(labels: pa.Table):
    assert labels.schema.names[4:7] == ["topic", "audience", "gist"]
    assert all(name.startswith("claude_") for name in labels.schema.names[7:])


def test_passthrough_values_are_the_warehouse_s_own(labels: pa.Table, warehouse: Path):
    with duckdb.connect(str(warehouse), read_only=True) as database:
        expected = database.execute(
            "select distribution_id, name, version, trove_topic from packages order by 1"
        ).fetchall()
    columns = labels.select(["distribution_id", "name", "version", "trove_topic"]).to_pydict().values()
    assert list(zip(*columns, strict=True)) == expected


def test_tokens_are_counted_for_every_row(labels: pa.Table):
    assert all(tokens > 0 for tokens in labels["claude_input_tokens"].to_pylist())
    assert all(tokens > 0 for tokens in labels["claude_output_tokens"].to_pylist())


def test_the_sensor_is_deferred_while_the_batch_is_in_progress(demo_run: DemoRun):
    seen = demo_run.while_deferred
    state, trigger_id, _ = seen["row"]
    assert (state, seen["batches"][0]["processing_status"]) == ("deferred", "in_progress")
    assert trigger_id is not None


def test_no_process_works_on_the_deferred_sensor(demo_run: DemoRun):
    titles = demo_run.while_deferred["titles"]
    workers = [title.strip() for title in titles if title.startswith("airflow worker")]
    task_instance_id = demo_run.while_deferred["row"][2].replace("-", "")
    assert workers
    assert {title.rsplit(": ", 1)[-1] for title in workers} == {"<idle>"}
    assert not [title for title in titles if task_instance_id in title.replace("-", "")]


def test_the_trigger_s_lines_are_in_the_sensor_s_log(
    demo_run: DemoRun, airflow: AirflowStandalone, batch_emulator: EmulatorSession
):
    lines = airflow.rest.logs(DAG_ID, demo_run.run_id, "wait")
    batch_ids = {batch["id"] for batch in demo_run.while_deferred["batches"]}
    # Only Airflow 3.2 and later say the logger, too.
    from_trigger = [line for line in lines if line.get("filename") == "diary.py"]
    assert any(batch_id in str(line["event"]) for line in from_trigger for batch_id in batch_ids), lines


@pytest.mark.parametrize("task_id", ["submit", "wait", "load"])
def test_every_task_links_to_its_batch(
    task_id: str, demo_run: DemoRun, airflow: AirflowStandalone, batch_emulator: EmulatorSession
):
    links = airflow.rest.extra_links(DAG_ID, demo_run.run_id, task_id)
    batch_id = demo_run.while_deferred["batches"][0]["id"]
    assert batch_emulator.batch_page.format(batch_id=batch_id) in links.values()
    page = httpx.get(batch_emulator.batch_page.format(batch_id=batch_id), timeout=30, trust_env=False)
    assert page.is_success
    assert batch_id in page.text


def test_the_link_is_there_while_the_sensor_waits(demo_run: DemoRun):
    batch_id = demo_run.while_deferred["batches"][0]["id"]
    assert any(batch_id in (address or "") for address in demo_run.while_deferred["links"].values())


def test_the_submission_s_folder_tells_the_whole_story(demo_run: DemoRun, labels: pa.Table):
    folder = submission_folder(demo_run)
    identity = json.loads((folder / "plan.json").read_bytes())["identity"]
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {
        "plan.json",
        "estimate.json",
        f"r00/round-{identity}.json",
        f"r00/keys-00000-{identity}.parquet",
        "r00/sent-00000.a1.json",
        "r00/batch-00000.json",
        "r00/results-00000.parquet",
        "receipt.json",
    }


def test_the_manifest_names_the_batch_that_the_api_knows(demo_run: DemoRun, airflow: AirflowStandalone):
    known = {batch["id"] for batch in demo_run.while_deferred["batches"]}
    (record,) = submission_folder(demo_run).glob("r00/batch-*.json")
    submission = airflow.rest.xcom(DAG_ID, demo_run.run_id, "submit")
    assert set(submission["batch_ids"]) == known
    assert known <= set(_strings(json.loads(record.read_text())))


def test_the_demo_judges_by_the_topics_of_the_dag():
    module = ast.parse((REPOSITORY / "example_dags" / "label_packages.py").read_text())
    (topics,) = [
        ast.literal_eval(statement.value)
        for statement in module.body
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "TOPICS"
    ]
    assert set(topics) == TOPICS


def _strings(value: object) -> list[str]:
    """Return every string in a JSON value."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return [value] if isinstance(value, str) else []
