"""The poller, with a clock of its own and the real SDK: an hour of failures takes a second."""

import asyncio
import contextlib
import datetime as dt

import pytest
from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient

from airflow_provider_claude_batch.triggers.poller import Poller, Trouble
from tests.provider.submitting import create_batches


def epoch(emulator):
    return dt.datetime.fromisoformat(emulator.time).timestamp()


class Clock:
    """A clock that moves when everybody has had a turn, and takes the emulator's with it."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.time = epoch(emulator)
        self.at = {}
        self.rests = []

    def now(self):
        return self.time

    async def wait(self, event, seconds):
        for _ in range(20):
            await asyncio.sleep(0)
        if event.is_set():
            return
        self.time += seconds
        self.rests.append(seconds)
        await asyncio.to_thread(self.emulator.advance, seconds)
        for due in [due for due in self.at if due <= self.time]:
            await asyncio.to_thread(self.at.pop(due))


class Clients:
    """
    Makes SDK clients, and remembers them.

    :param kind: Of the clients.
    :param hooks: Of their HTTP clients, by ``request`` and ``response``.
    """

    def __init__(self, emulator, kind=AsyncAnthropic, **hooks):
        self.emulator = emulator
        self.kind = kind
        self.hooks = hooks
        self.made = []

    async def open(self):
        http_client = DefaultAsyncHttpxClient(event_hooks=self.hooks)
        self.made.append(self.kind(api_key="sk-ant-x", base_url=self.emulator.url, http_client=http_client))
        return self.made[-1]

    @property
    def are_closed(self):
        return all(client.is_closed() for client in self.made)


async def until_ended(wait):
    while wait.waiting():
        await wait.news(None)


@pytest.fixture
def clock(emulator):
    return Clock(emulator)


@pytest.fixture
def clients(emulator):
    return Clients(emulator)


@pytest.fixture
def poller(clients, clock):
    return Poller(clients.open, clock=clock)


def looks(emulator):
    return emulator.calls.count_of("list") + emulator.calls.count_of("retrieve")


def test_one_list_call_a_tick_answers_for_all_waits(emulator, poller, clock):
    emulator.settings(seconds_per_batch=1800)
    batch_ids = create_batches(50)

    async def wait_for_each():
        async with contextlib.AsyncExitStack() as stack:
            waits = [await stack.enter_async_context(poller.waiting_for([b])) for b in batch_ids]
            await asyncio.gather(*map(until_ended, waits))

    began = clock.time
    asyncio.run(wait_for_each())
    assert emulator.calls.count_of("retrieve") == 0
    assert emulator.calls.count_of("list") <= 1 + (clock.time - began) / 54
    assert clock.time - began < 1800 * 1.11


def test_the_first_answer_comes_at_once(emulator, poller, clock):
    first, second = create_batches(), create_batches()
    emulator.advance(5)
    clock.time = epoch(emulator)

    async def wait_for_both():
        began = clock.time
        async with poller.waiting_for(first) as wait:
            await until_ended(wait)
        assert clock.time == began
        emulator.settings(seconds_per_batch=3600)
        running = create_batches()
        async with poller.waiting_for(running) as wait:
            await wait.news(None)
            async with poller.waiting_for(second) as late:
                await until_ended(late)
        assert clock.time - began <= 2

    asyncio.run(wait_for_both())


@pytest.mark.parametrize(
    "fault",
    [
        {"with_": "status", "status": 500},
        {"with_": "status", "status": 401},
        {"with_": "reset-connection"},
        {"with_": "status", "status": 429, "retry_after": 300},
    ],
)
def test_an_hour_of_failures_neither_ends_nor_cancels_a_wait(emulator, poller, clock, clients, fault):
    emulator.settings(seconds_per_batch=7200)
    batch_ids = create_batches(2)
    emulator.fail("list", times=None, **fault)
    began = clock.time
    clock.at[began + 3600] = emulator.clear_faults
    seen = []

    async def wait_for_both():
        async with poller.waiting_for(batch_ids) as wait:
            while wait.waiting():
                await wait.news(None)
                seen.append(wait.trouble)

    asyncio.run(wait_for_both())
    assert clock.time - began < 7200 * 1.1
    assert 5 < sum(emulator.calls.counts["list"].values()) < 40
    assert emulator.calls.count_of("cancel") == 0
    troubles = [trouble for trouble in seen if trouble is not None]
    assert len(troubles) == 1
    assert troubles[0].is_of_the_key == (fault.get("status") == 401)
    assert clients.are_closed


def test_an_answer_that_is_no_page_of_batches_is_a_failure_like_any_other(emulator, poller):
    batch_ids = create_batches(2)
    emulator.fail("list", with_="status", status=200, form="html", times=1)
    seen = []

    async def wait_for_both():
        async with poller.waiting_for(batch_ids) as wait:
            while wait.waiting():
                await wait.news(None)
                seen.append(wait.trouble)

    asyncio.run(wait_for_both())
    assert seen[0] == Trouble("APIResponseValidationError, HTTP 200", is_of_the_key=False)
    assert seen[-1] is None


@pytest.mark.parametrize(
    ("poll_interval", "rests"),
    [(2, [2, 4, 8, 16]), (0, [1, 2, 4, 8]), (40, [15, 30, 60, 120]), (None, [15, 30, 60, 120])],
)
def test_a_failing_api_is_asked_ever_less_often_and_at_first_as_often_as_the_author_wants(
    emulator, poller, clock, poll_interval, rests
):
    batch_ids = create_batches(2)
    emulator.fail("list", with_="status", status=503, times=4)

    async def wait_for_both():
        async with (
            poller.waiting_for(batch_ids[:1], poll_interval=poll_interval) as one,
            poller.waiting_for(batch_ids[1:]) as other,
        ):
            await asyncio.gather(until_ended(one), until_ended(other))

    asyncio.run(wait_for_both())
    assert clock.rests[:4] == rests


def test_a_refused_key_is_read_anew_each_time(emulator, poller, clients):
    batch_ids = create_batches(2)
    emulator.fail("list", with_="status", status=401, times=3)

    async def wait_for_both():
        async with poller.waiting_for(batch_ids) as wait:
            await until_ended(wait)

    asyncio.run(wait_for_both())
    assert len(clients.made) == 4
    assert clients.are_closed


def test_the_client_is_closed_when_the_last_wait_leaves(emulator, poller, clients):
    emulator.settings(seconds_per_batch=3600)
    batch_ids = create_batches(2)

    async def leave_one_by_one():
        async with poller.waiting_for(batch_ids[:1]):
            async with poller.waiting_for(batch_ids[1:]) as wait:
                await wait.news(None)
            assert not clients.are_closed
        assert clients.are_closed
        assert poller.is_idle

    asyncio.run(leave_one_by_one())


def test_a_batch_deep_in_the_list_is_asked_for_by_itself(emulator, poller):
    emulator.settings(seconds_per_batch=3600)
    old = create_batches()
    emulator.advance(600)
    create_batches(1001)
    young = create_batches()

    async def look_once():
        async with poller.waiting_for(old + young) as wait:
            await wait.news(None)
            assert set(wait.seen) == {*old, *young}

    asyncio.run(look_once())
    assert (emulator.calls.count_of("list"), emulator.calls.count_of("retrieve")) == (1, 1)


def test_many_batches_deep_in_the_list_are_found_page_by_page_and_stay_found(emulator, clock):
    emulator.settings(seconds_per_batch=80_000)
    old = create_batches(300)
    emulator.advance(6 * 3600)
    create_batches(800)
    pages = []

    async def fail_the_second_page(response):
        pages.append(response)
        if len(pages) == 1:
            await asyncio.to_thread(emulator.fail, "list", with_="status", status=500)

    async def look_twice():
        poller = Poller(Clients(emulator, response=[fail_the_second_page]).open, clock=clock)
        async with poller.waiting_for(old) as wait:
            await wait.news(None)
            yield set(wait.seen)
            await wait.news(None)
            yield set(wait.seen)

    async def collect():
        return [seen async for seen in look_twice()]

    assert asyncio.run(collect()) == [set(old[100:]), set(old)]
    assert (len(pages), emulator.calls.count_of("retrieve")) == (4, 0)


def test_what_the_api_does_not_show_is_counted_and_forgotten_when_it_does(emulator, poller):
    emulator.settings(seconds_per_batch=3600)
    (batch_id,) = create_batches()
    emulator.fail("retrieve", with_="status", status=404, times=3)

    async def watch():
        counts = []
        async with poller.waiting_for([batch_id]) as wait:
            while batch_id not in wait.seen:
                await wait.news(None)
                counts.append(wait.absent.get(batch_id, 0))
        return counts

    assert asyncio.run(watch()) == [1, 2, 3, 0]


def test_a_wait_is_woken_at_its_time(emulator, poller, clock):
    emulator.settings(seconds_per_batch=3600)
    batch_ids = create_batches()

    async def sleep():
        async with poller.waiting_for(batch_ids) as wait:
            await wait.news(None)
            began = clock.time
            await wait.news(began + 7)
            return clock.time - began

    assert asyncio.run(sleep()) == pytest.approx(7)


@pytest.mark.parametrize("status", [400, 500])
def test_a_batch_that_the_api_does_not_tell_of_holds_no_other_wait_up(emulator, poller, clock, status):
    emulator.settings(seconds_per_batch=1800)
    (batch_id,) = create_batches()
    emulator.fail("retrieve", with_="status", status=status, times=None)

    async def wait_for_both():
        async with poller.waiting_for(["msgbatch_x"]) as refused, poller.waiting_for([batch_id]) as wait:
            await until_ended(wait)
            return refused, wait

    began = clock.time
    refused, wait = asyncio.run(wait_for_both())
    assert clock.time - began < 1800 * 1.11
    assert refused.trouble.what.endswith(f"HTTP {status}")
    assert (refused.absent, wait.trouble) == ({}, None)


def test_a_wait_that_begins_beside_a_refused_one_is_answered_at_once(emulator, poller, clock):
    (batch_id,) = create_batches()
    emulator.advance(1)
    clock.time = epoch(emulator)
    emulator.fail("retrieve", with_="status", status=400, times=None)

    async def wait_for_both():
        async with poller.waiting_for(["msgbatch_x"]) as refused:
            await refused.news(None)
            began = clock.time
            async with poller.waiting_for([batch_id]) as wait:
                await until_ended(wait)
                return clock.time - began

    assert asyncio.run(wait_for_both()) <= 1


def test_what_a_look_has_shown_before_it_broke_off_counts(emulator, poller, clock):
    (batch_id,) = create_batches()
    emulator.advance(1)
    emulator.fail("retrieve", with_="status", status=429, retry_after=300)

    async def wait_for_both():
        async with poller.waiting_for(["msgbatch_x"]) as missing, poller.waiting_for([batch_id]) as wait:
            began = clock.time
            await until_ended(wait)
            seen_at = clock.time
            while "msgbatch_x" not in missing.absent:
                await missing.news(None)
            return seen_at - began, clock.time - began

    assert asyncio.run(wait_for_both()) == (0, 300)


def test_a_wait_that_comes_while_the_last_one_leaves_is_not_disturbed(emulator, clock):
    emulator.settings(seconds_per_batch=3600)
    first, second = create_batches(2)
    emulator.fail("retrieve", with_="slow-answer", seconds=0.5, times=2)

    async def come_and_go():
        is_asked = asyncio.Event()

        async def note(request):
            is_asked.set()

        clients = Clients(emulator, request=[note])
        poller = Poller(clients.open, clock=clock)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(poller.waiting_for([first]))
            await is_asked.wait()
            # The request is under way, and takes a few turns of the event loop to be broken off.
            await asyncio.sleep(0.2)
            leaving = asyncio.create_task(stack.aclose())
            await asyncio.sleep(0)
            async with poller.waiting_for([second]) as wait:
                await leaving
                await wait.news(None)
                seen = wait.trouble, list(wait.seen)
        assert clients.are_closed
        return seen

    assert asyncio.run(come_and_go()) == (None, [second])


class ClosesWithAnError(AsyncAnthropic):
    async def close(self):
        await super().close()
        raise ConnectionResetError


def test_a_client_that_cannot_be_closed_ends_no_wait(emulator, clock):
    batch_ids = create_batches()
    emulator.fail("retrieve", with_="status", status=401)
    poller = Poller(Clients(emulator, ClosesWithAnError).open, clock=clock)

    async def wait_for_one():
        async with poller.waiting_for(batch_ids) as wait:
            await until_ended(wait)

    asyncio.run(wait_for_one())
    assert emulator.faults_left == 0


def test_an_answer_is_waited_for_a_minute_at_most(emulator, clock):
    batch_ids = create_batches(2)
    limits = []

    async def note(request):
        limits.append(max(request.extensions["timeout"].values()))

    async def wait_for_both():
        poller = Poller(Clients(emulator, request=[note]).open, clock=clock)
        async with poller.waiting_for(batch_ids) as wait:
            await until_ended(wait)

    asyncio.run(wait_for_both())
    assert max(limits) == 60


def test_no_author_can_have_the_api_asked_more_than_once_a_second(emulator, poller, clock):
    emulator.settings(seconds_per_batch=20)
    batch_ids = create_batches()

    async def wait_for_one():
        async with poller.waiting_for(batch_ids, poll_interval=0) as wait:
            await until_ended(wait)

    asyncio.run(wait_for_one())
    assert min(clock.rests) >= 1
