"""The sensor's own leg in the worker, before and after its wait."""

import time

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred

from airflow_provider_claude_batch.errors import BatchWaitTimeoutError, ClaudeBatchInputError
from airflow_provider_claude_batch.links.batch import ClaudeBatchLink
from airflow_provider_claude_batch.sensors.batch import ClaudeBatchSensor
from tests.provider.submitting import TI, create_batches


def sensor(batch_ids, **arguments):
    return ClaudeBatchSensor(task_id="wait", batch_ids=batch_ids, **{"deferrable": True, **arguments})


def test_what_has_ended_already_is_not_deferred(emulator):
    assert sensor(create_batches(2)).execute({}) is None
    assert emulator.calls.count_of("retrieve") == 0


def test_what_has_not_ended_is_deferred_with_ids_and_numbers_only(emulator):
    emulator.settings(seconds_per_batch=3600)
    batch_ids = create_batches(2)
    with pytest.raises(TaskDeferred) as caught:
        sensor(batch_ids, timeout=7200).execute({})
    _, arguments = caught.value.trigger.serialize()
    assert arguments.pop("timeout_at") == pytest.approx(time.time() + 7200, abs=60)
    assert arguments == {
        "claude_conn_id": "anthropic_default",
        "batch_ids": batch_ids,
        "poll_interval": None,
        "wait_for": "all",
        "manifest": None,
        "cancel_batch_ids": [],
        "timeout_seconds": 7200,
        "cancel_at": None,
        "expected_seconds": None,
    }


def test_a_plan_is_refused_by_the_task_alone_and_its_link_is_empty(emulator):
    plan = {
        "manifest": "/staging/g00",
        "claude_conn_id": "anthropic_default",
        "batch_ids": [],
        "request_count": 5,
    }
    task = sensor(None, submission=plan)
    with pytest.raises(ClaudeBatchInputError, match="a plan that was not sent"):
        task.execute({})
    assert ClaudeBatchLink().get_link(task, ti_key=None) == ""


def test_an_api_that_cannot_be_asked_is_waited_for_in_the_triggerer(emulator):
    batch_ids = create_batches()
    emulator.fail("list", with_="status", status=401)
    with pytest.raises(TaskDeferred):
        sensor(batch_ids).execute({})
    assert emulator.faults_left == 0


@pytest.mark.parametrize(
    ("status", "words"), [("late", "have not ended within 60 s"), ("gone", "are no longer there")]
)
def test_a_wait_in_vain_fails_or_skips_and_leaves_the_batches_alone(emulator, status, words):
    event = {"status": status, "batch_ids": ["a", "b"], "waiting": ["b"], "manifest": None}
    with pytest.raises(BatchWaitTimeoutError, match=f"1 of 2 batches {words}"):
        sensor(["a", "b"], timeout=60).execute_complete({}, event)
    with pytest.raises(AirflowSkipException, match=words):
        sensor(["a", "b"], timeout=60, soft_fail=True).execute_complete({}, event)
    assert emulator.calls.count_of("cancel") == 0


def test_poking_says_whether_all_have_ended(emulator):
    emulator.settings(seconds_per_batch=3600)
    poking = sensor(create_batches(2), deferrable=False)
    assert poking.poke({}) is False
    emulator.advance(3601)
    assert poking.poke({}) is True


@pytest.mark.parametrize("batch_ids", [[None], [""], [["msgbatch_a"]], "msgbatch_a"])
def test_what_is_no_list_of_ids_fails_at_once(emulator, batch_ids):
    with pytest.raises(ClaudeBatchInputError, match="batch_ids"):
        sensor(batch_ids).execute({})
    assert len(emulator.calls) == 0


@pytest.fixture
def late(submission, emulator):
    """Return the URI of a submission whose two batches go on, and which is to be cut short now."""
    emulator.settings(seconds_per_batch=3600)
    submission.snapshot(max_requests=3)
    submission.send()
    return submission.folder.uri


def test_a_cancel_for_the_deadline_that_the_api_does_not_take_is_tried_again_soon(emulator, late):
    deferred = ClaudeBatchSensor(task_id="wait", submission=late, deferrable=True)
    event = {"status": "deadline", "batch_ids": [], "waiting": [], "manifest": None}
    emulator.fail("list", with_="status", status=503, times=3)
    with pytest.raises(TaskDeferred) as caught:
        deferred.execute_complete({"ti": TI}, event)
    assert emulator.faults_left == 0
    assert caught.value.trigger.cancel_at == pytest.approx(time.time() + 30, abs=20)
    with pytest.raises(TaskDeferred) as caught:
        deferred.execute_complete({"ti": TI}, event)
    assert caught.value.trigger.cancel_at is None
    assert {batch["processing_status"] for batch in emulator.batches} <= {"canceling", "ended"}
    assert emulator.calls.count_of("cancel") == 2
