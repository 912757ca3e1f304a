"""Paid answers that no load took: found by record or by proof, and landed before they are removed."""

import datetime as dt
import json
import runpy
import warnings
from pathlib import Path

import pytest

from airflow_provider_claude_batch.core.manifest import BatchRecord
from airflow_provider_claude_batch.errors import SubmissionUncertainError
from airflow_provider_claude_batch.submission.rescue import find_unloaded, load_unloaded
from airflow_provider_claude_batch.submission.storage import Folder
from tests.provider.dag_runs import metadata_database
from tests.provider.submitting import create_batches

__all__ = ["metadata_database"]

DAG_FILE = Path(__file__).parents[2] / "example_dags" / "rescue_results.py"
DAYS_KEPT = dt.timedelta(days=29)


def root_of(submission):
    return Folder.at(submission.folder.uri.rpartition("/")[0])


def find(submission, emulator):
    return find_unloaded(root_of(submission), submission.hook, dt.datetime.fromisoformat(emulator.time))


def send(submission, *sql, **arguments):
    submission.snapshot(*sql, **arguments)
    submission.send()


def lose(submission, emulator, *sql, times=1, others=0, **arguments):
    """Send with answers that are lost, then let the batches end, with ``others`` of another team."""
    emulator.settings(seconds_per_batch=600)
    emulator.fail("create", after="accepted", with_="reset-connection", times=times)
    send(submission, *sql, **arguments)
    create_batches(others)
    emulator.advance(601)


def records_of(submission):
    folder = submission.folder.folder
    return {(name, folder.child("r00").read(name)) for name in folder.child("r00").names()}


def test_an_ended_batch_that_no_load_took_is_found_with_its_last_day(submission, emulator):
    send(submission)
    (unloaded,) = find(submission, emulator)
    (batch,) = emulator.batches
    assert (unloaded.batch_id, unloaded.manifest) == (batch["id"], submission.folder.uri)
    assert (unloaded.shard, unloaded.requests, unloaded.is_lost) == (0, 5, False)
    assert unloaded.ends_at == dt.datetime.fromisoformat(batch["created_at"]) + DAYS_KEPT


def test_looking_changes_nothing(submission, emulator):
    lose(submission, emulator, max_requests=3)
    before = records_of(submission)
    assert len(find(submission, emulator)) == 2
    assert records_of(submission) == before


def test_what_is_landed_or_published_is_not_found(submission, emulator):
    send(submission)
    submission.land()
    assert find(submission, emulator) == []
    submission.publish(max_error_rate=None)
    assert find(submission, emulator) == []


def test_a_batch_that_runs_is_not_found(submission, emulator):
    emulator.settings(seconds_per_batch=600)
    send(submission)
    assert find(submission, emulator) == []
    emulator.advance(601)
    assert len(find(submission, emulator)) == 1


def test_results_that_are_removed_already_are_not_found(submission, emulator):
    send(submission)
    emulator.advance(DAYS_KEPT.total_seconds() - 60)
    assert len(find(submission, emulator)) == 1
    emulator.advance(61)
    assert find(submission, emulator) == []


def test_a_batch_of_another_team_is_neither_found_nor_read(submission, emulator):
    create_batches(3)
    send(submission)
    create_batches(3)
    assert [unloaded.is_lost for unloaded in find(submission, emulator)] == [False]
    assert emulator.calls.count_of("results") == 0


def test_a_lost_batch_is_found_by_its_first_line_among_others_of_the_same_count(submission, emulator):
    lose(submission, emulator, "select * from items where id = 1", others=2)
    ours = emulator.batches[-1]["id"]
    (unloaded,) = find(submission, emulator)
    assert (unloaded.batch_id, unloaded.is_lost) == (ours, True)


def test_two_lost_batches_of_the_same_count_are_told_apart(submission, emulator):
    lose(submission, emulator, times=2, max_requests=2)
    found = find(submission, emulator)
    assert len({unloaded.batch_id for unloaded in found}) == 3
    assert [unloaded.is_lost for unloaded in found].count(True) == 2
    for unloaded in found:
        load_unloaded(unloaded, submission.hook)
    assert submission.publish()["claude_outcome"].to_pylist() == ["ok"] * 5


def test_submissions_of_another_workspace_are_left_alone(submission, emulator):
    send(submission)
    plan = json.loads(submission.folder.folder.read("plan.json"))
    submission.folder.folder.write("plan.json", json.dumps({**plan, "workspace_id": "wrkspc_other"}).encode())
    assert find(submission, emulator) == []


def test_a_manifest_that_cannot_be_read_hides_no_other(submission, emulator, caplog):
    send(submission)
    root_of(submission).write("other/g00/plan.json", b"{")
    assert len(find(submission, emulator)) == 1
    assert "other/g00 is left alone" in caplog.text


def test_loaded_results_outlast_the_29_days_and_are_published_by_the_dags_own_load(submission, emulator):
    send(submission)
    (unloaded,) = find(submission, emulator)
    load_unloaded(unloaded, submission.hook)
    assert find(submission, emulator) == []
    emulator.advance(40 * 86400)
    submission.finish(max_rounds=1)
    assert submission.publish()["claude_outcome"].to_pylist() == ["ok"] * 5


def test_a_lost_batch_that_is_loaded_is_not_sent_again(submission, emulator):
    lose(submission, emulator)
    (unloaded,) = find(submission, emulator)
    landed = load_unloaded(unloaded, submission.hook)
    assert (landed.batch_id, landed.known_by) == (unloaded.batch_id, "proven")
    emulator.advance(86400)
    submission.send()
    assert emulator.calls.count_of("create") == 1
    assert submission.publish().num_rows == 5


def test_a_shard_that_became_another_batch_in_the_meantime_is_left_as_it_is(submission, emulator):
    lose(submission, emulator)
    (unloaded,) = find(submission, emulator)
    (other,) = create_batches()
    record = BatchRecord(batch_id=other, known_by="proven", created_at=unloaded.created_at)
    submission.folder.write_batch(0, 0, record)
    with pytest.raises(SubmissionUncertainError, match="nothing is sent"):
        load_unloaded(unloaded, submission.hook)
    assert submission.folder.read_batch(0, 0).batch_id == other


@pytest.fixture
def rescue(metadata_database, submission, monkeypatch):
    """Return a function that runs the example Dag and returns the states of its task instances."""
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(DAG_FILE.parent)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.setenv("AIRFLOW__CLAUDE_BATCH__STAGING_PATH", root_of(submission).root)

    def run(**params):
        with warnings.catch_warnings():
            # What Airflow does by itself, reading its configuration and writing its database.
            warnings.simplefilter("ignore")
            dag = runpy.run_path(str(DAG_FILE))["rescue_results"]
            instances = dag.test(run_conf=params).get_task_instances()
        return {(ti.task_id, ti.rendered_map_index): str(ti.state) for ti in instances}

    return run


def test_the_dag_only_lists_unless_it_is_asked_to_load(rescue, submission, emulator, caplog):
    send(submission, max_requests=3)
    before = records_of(submission)
    states = rescue(min_age_hours=0)
    assert states == {("find", None): "success", ("choose", None): "success", ("load", None): "skipped"}
    assert records_of(submission) == before
    assert all(batch["id"] in caplog.text for batch in emulator.batches)


def test_the_dag_loads_each_batch_by_itself(rescue, submission, emulator):
    send(submission, max_requests=3)
    states = rescue(min_age_hours=0, load=True)
    assert {name: state for (task_id, name), state in states.items() if task_id == "load"} == {
        batch["id"]: "success" for batch in emulator.batches
    }
    assert find(submission, emulator) == []


def test_the_dag_leaves_young_batches_to_their_own_dag(rescue, submission, emulator):
    send(submission)
    assert rescue(load=True)["load", None] == "skipped"
    assert len(find(submission, emulator)) == 1
