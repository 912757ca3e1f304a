import asyncio
import threading
import time

import pytest
from asgiref.sync import SyncToAsync

from airflow_provider_claude_batch.core.poll_decision import PollDecision, decide, look_seconds
from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.triggers.batch import ClaudeBatchTrigger
from tests.provider.submitting import create_batches


def first_event(batch_ids, *, timeout=60, poll_interval=0.02, **arguments):
    async def wait():
        trigger = ClaudeBatchTrigger(
            "anthropic_default", batch_ids, time.time() + timeout, poll_interval, **arguments
        )
        return (await anext(trigger.run())).payload

    return asyncio.run(wait())


def test_path_and_arguments_are_stored_in_databases_and_never_change():
    assert ClaudeBatchTrigger("c", ["b"], 1.5).serialize() == (
        "airflow_provider_claude_batch.triggers.batch.ClaudeBatchTrigger",
        {
            "claude_conn_id": "c",
            "batch_ids": ["b"],
            "timeout_at": 1.5,
            "poll_interval": None,
            "wait_for": "all",
            "manifest": None,
            "cancel_batch_ids": [],
            "timeout_seconds": None,
            "cancel_at": None,
            "expected_seconds": None,
        },
    )


def test_a_trigger_that_an_older_version_stored_still_runs(emulator):
    stored = {"claude_conn_id": "anthropic_default", "batch_ids": create_batches(), "timeout_at": 9e9}

    async def wait():
        return (await anext(ClaudeBatchTrigger(**stored).run())).payload

    assert asyncio.run(wait())["status"] == "ended"


@pytest.mark.parametrize("count", [1, 3])
def test_the_end_of_all_batches_is_reported(emulator, count):
    batch_ids = create_batches(count)
    assert first_event(batch_ids) == {
        "status": "ended",
        "batch_ids": batch_ids,
        "waiting": [],
        "manifest": None,
    }


def test_several_batches_are_looked_at_with_one_call(emulator):
    batch_ids = create_batches(3)
    emulator.advance(1)
    first_event(batch_ids)
    assert emulator.calls.count_of("retrieve") == 0
    assert emulator.calls.count_of("list") == 1


def test_a_look_leaves_no_line_in_the_log(emulator, caplog):
    caplog.set_level("INFO")
    emulator.settings(seconds_per_batch=3600)
    batch_ids = create_batches()
    caplog.clear()
    first_event(batch_ids, timeout=2.5)
    assert emulator.calls.count_of("retrieve") > 1
    lines = [record.getMessage() for record in caplog.records if "HTTP Request" in record.getMessage()]
    assert lines == []


def test_a_wait_whose_time_is_up_is_late_and_cancels_nothing(emulator):
    emulator.settings(seconds_per_batch=3600)
    batch_ids = create_batches(2)
    assert first_event(batch_ids, timeout=0.1) == {
        "status": "late",
        "batch_ids": batch_ids,
        "waiting": batch_ids,
        "manifest": None,
    }
    assert emulator.calls.count_of("cancel") == 0


def test_a_wait_for_any_batch_ends_with_the_first(emulator):
    emulator.settings(seconds_per_batch=3600)
    ended, running = create_batches(), create_batches()
    with ClaudeBatchHook().client as client:
        client.messages.batches.cancel(ended[0])
    emulator.advance(600)
    event = first_event(ended + running, wait_for="any", manifest="file:///m")
    assert event == {
        "status": "ended",
        "batch_ids": ended + running,
        "waiting": running,
        "manifest": "file:///m",
    }


def test_a_wait_for_no_batch_is_a_wait_for_the_time(emulator):
    began = time.monotonic()
    assert first_event([], timeout=0.3, wait_for="any")["status"] == "late"
    assert time.monotonic() - began >= 2
    assert emulator.calls.count_of("list") == 0


@pytest.mark.parametrize(
    ("seen", "now", "decision"),
    [
        ({}, 0, PollDecision("wait", ("a", "b"))),
        ({"a": "ended"}, 0, PollDecision("wait", ("b",))),
        ({"a": "ended", "b": "canceling"}, 0, PollDecision("wait", ("b",))),
        ({"a": "ended", "b": "ended"}, 0, PollDecision("ended", ())),
        ({"a": "ended", "b": "ended"}, 99, PollDecision("ended", ())),
        ({"a": "ended", "b": "in_progress"}, 10, PollDecision("late", ("b",))),
    ],
)
def test_what_a_look_means(seen, now, decision):
    assert decide(["a", "b"], seen=seen, now=now, timeout_at=10) == decision


@pytest.mark.parametrize(
    ("age", "arguments", "seconds"),
    [
        (0, {}, 60),
        (900, {}, 90),
        (86_400, {}, 600),
        (0, {"expected_seconds": 3600}, 600),
        (3000, {"expected_seconds": 3600}, 300),
        (0, {"expected_seconds": 400}, 100),
        (900, {"expected_seconds": 60}, 90),
        (0, {"expected_seconds": 3600, "poll_interval": 5}, 5),
    ],
)
def test_looks_come_less_often_as_batches_grow_old_and_while_their_end_is_far(age, arguments, seconds):
    assert look_seconds(age, **arguments) == seconds


def test_a_batch_that_is_not_there_for_long_is_gone_and_a_few_looks_are_weather():
    for looks, action in ((19, "wait"), (20, "gone")):
        assert decide(["a"], seen={}, now=0, timeout_at=9, absent={"a": looks}).action == action
    assert decide(["a", "b"], seen={}, now=0, timeout_at=9, absent={"a": 99}).action == "wait"


def test_the_deadline_comes_before_the_time_is_up():
    arguments = {"seen": {}, "timeout_at": 9, "cancel_at": 5}
    actions = [decide(["a"], now=now, **arguments).action for now in (4, 5, 9)]
    assert actions == ["wait", "deadline", "late"]


class _Official:
    """Notes who asks for the platform, which on a triggerer asks the supervisor for the connection."""

    def __init__(self):
        self.asked = []

    @property
    def platform(self):
        self.asked.append((threading.get_ident(), getattr(SyncToAsync.threadlocal, "main_event_loop", None)))
        return "anthropic"

    async def get_async_conn(self):
        return "client"


def test_the_connection_is_asked_for_beside_the_event_loop_by_a_thread_that_knows_it():
    hook = ClaudeBatchHook()
    hook._official = _Official()

    async def open_client():
        return await hook.get_async_conn(), asyncio.get_running_loop()

    client, running = asyncio.run(open_client())
    [(thread, known)] = hook._official.asked
    assert client == "client"
    assert thread != threading.get_ident()
    assert known is running


def test_a_lookup_of_the_connection_that_has_begun_is_not_given_up_with_its_trigger():
    class Client:
        """Says when it was closed."""

        async def close(self):
            closed.set()

    class Slow(_Official):
        """Answers when it is told to."""

        async def get_async_conn(self):
            asking.set()
            await answer.wait()
            return Client()

    hook = ClaudeBatchHook()
    hook._official = Slow()

    async def cancel_meanwhile():
        trigger = asyncio.create_task(hook.get_async_conn())
        await asking.wait()
        trigger.cancel()
        await asyncio.wait([trigger])
        answer.set()
        await asyncio.wait_for(closed.wait(), 5)
        return trigger.cancelled()

    asking, answer, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    assert asyncio.run(cancel_meanwhile())
