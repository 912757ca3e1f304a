"""The watcher of ended batches, with a clock of its own and the real SDK."""

import asyncio
import datetime as dt
import time
from contextlib import aclosing

import pytest
from airflow.sdk import Asset

from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
from airflow_provider_claude_batch.triggers.batch_ended import ClaudeBatchEndedTrigger
from airflow_provider_claude_batch.triggers.ended_batches import EndWatch
from tests.provider.submitting import create_batches
from tests.provider.test_poller import Clients, Clock

HOUR = 3600


class Kept:
    """A position in memory: Airflow's own lives in the process of a triggerer."""

    def __init__(self):
        self.ended_at = None
        self.failures = 0

    async def read(self):
        return self.ended_at

    async def keep(self, ended_at):
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no state")
        self.ended_at = ended_at


@pytest.fixture
def clock(emulator):
    emulator.settings(seconds_per_batch=HOUR)
    return Clock(emulator)


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def reported(emulator, clock, kept):
    """Return a function that watches for some seconds and returns the ids of the ended batches."""

    async def watch(seconds):
        clients, found, is_over = Clients(emulator), [], asyncio.Event()
        loop = asyncio.get_running_loop()
        clock.at[clock.time + seconds] = lambda: loop.call_soon_threadsafe(is_over.set)
        ends = EndWatch(clients.open, kept, poll_interval=60, clock=clock)

        async def collect():
            async with aclosing(ends.batches()) as batches:
                async for batch in batches:
                    found.extend([batch.id])

        task = asyncio.create_task(collect())
        await is_over.wait()
        task.cancel()
        await asyncio.wait([task])
        assert clients.are_closed
        return found

    return lambda seconds: asyncio.run(watch(seconds))


def test_path_and_arguments_are_stored_in_databases_and_never_change():
    assert ClaudeBatchEndedTrigger().serialize() == (
        "airflow_provider_claude_batch.triggers.batch_ended.ClaudeBatchEndedTrigger",
        {"claude_conn_id": "anthropic_default", "poll_interval": None},
    )


class AssetState:
    """What Airflow gives a trigger for the state of its asset, in memory instead of behind a triggerer."""

    def __init__(self, **kept):
        self.kept = kept

    async def aget(self, key):
        return self.kept.get(key)

    async def aset(self, key, value):
        self.kept[key] = value


def first_event(**arguments):
    async def run():
        trigger = ClaudeBatchEndedTrigger(poll_interval=0.02)
        trigger.asset_state_store = AssetState(**arguments)
        async with aclosing(trigger.run()) as events:
            return (await anext(events)).payload

    return asyncio.run(run())


def test_an_event_names_the_batch_its_times_and_its_counts(emulator):
    (batch_id,) = create_batches()
    payload = first_event(**{"claude_batch_ended_at:anthropic_default": "2026-01-01T00:00:00+00:00"})
    with ClaudeBatchHook().client as client:
        batch = client.messages.batches.retrieve(batch_id)
    assert payload == {
        "batch_id": batch_id,
        "created_at": batch.created_at.isoformat(),
        "ended_at": batch.ended_at.isoformat(),
        "request_counts": {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0},
    }


def test_each_batch_that_ends_is_reported_once(emulator, clock, reported):
    first = create_batches(2)
    clock.at[clock.time + HOUR] = lambda: later.extend(create_batches(1))
    later = []
    assert sorted(reported(3 * HOUR)) == sorted(first + later)
    assert emulator.calls.count_of("cancel") == 0


def test_what_had_ended_before_the_first_look_is_not_reported(emulator, reported):
    create_batches(2)
    emulator.advance(HOUR)
    assert reported(HOUR) == []


def test_a_look_is_one_list_call(emulator, clock, reported):
    create_batches(3)
    reported(2 * HOUR)
    assert emulator.calls.count_of("retrieve") == 0
    assert emulator.calls.count_of("list") <= 2 * HOUR / 60 + 1


def test_what_ended_while_nobody_watched_is_reported_once_by_the_next_watch(emulator, clock, reported):
    first = create_batches()
    assert reported(2 * HOUR) == first
    second = create_batches(2)
    emulator.advance(HOUR)
    clock.time += HOUR
    assert sorted(reported(HOUR)) == sorted(second)
    assert reported(HOUR) == []


def test_a_workspace_where_nothing_has_ended_keeps_that_too(emulator, clock, reported):
    reported(HOUR / 2)
    first = create_batches()
    emulator.advance(HOUR)
    clock.time += HOUR
    assert reported(HOUR) == first


def test_a_batch_that_fell_off_the_first_page_is_reported(emulator, clock, reported):
    old = create_batches()
    clock.at[clock.time + HOUR / 2] = lambda: create_batches(1001)
    assert reported(HOUR * 1.1) == old


@pytest.mark.parametrize(
    "fault",
    [{"with_": "status", "status": 401}, {"with_": "status", "status": 503}, {"with_": "reset-connection"}],
)
def test_hours_of_failures_leave_nothing_out(emulator, clock, reported, fault):
    first = create_batches(2)
    clock.at[clock.time + 60] = lambda: emulator.fail("list", times=None, **fault)
    clock.at[clock.time + 5 * HOUR] = emulator.clear_faults
    assert sorted(reported(6 * HOUR)) == sorted(first)
    assert emulator.calls.count_of("list") < 150


def test_a_position_that_cannot_be_kept_is_kept_later(emulator, clock, reported, kept):
    kept.failures = 2
    create_batches()
    reported(2 * HOUR)
    assert kept.failures == 0
    assert kept.ended_at > dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def test_a_watcher_that_several_assets_share_keeps_no_position_and_goes_on(emulator):
    context = pytest.importorskip("airflow.sdk.execution_time.context")
    if not hasattr(context, "AssetStateStoreAccessors"):
        pytest.skip("this Airflow keeps no state for assets")
    trigger = ClaudeBatchEndedTrigger(poll_interval=0.02)
    assets = [Asset("a"), Asset("b")]
    trigger.asset_state_store = context.AssetStateStoreAccessors(inlets=assets)

    async def run():
        async with aclosing(trigger.run()) as events:
            first = asyncio.create_task(anext(events))
            # The second look follows the first, in which nothing is news.
            await asyncio.to_thread(wait_for_looks, emulator, 2)
            await asyncio.to_thread(create_batches)
            return (await first).payload

    assert asyncio.run(run())["request_counts"]["succeeded"] == 1


def wait_for_looks(emulator, count):
    while emulator.calls.count_of("list") < count:
        time.sleep(0.01)
