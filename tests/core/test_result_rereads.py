from dataclasses import dataclass, field

import pytest

from airflow_provider_claude_batch.errors import ResultsIncompleteError
from airflow_provider_claude_batch.submission.rereads import BrokenReadError, Rereads


@dataclass
class Reading:
    """Reads that go as told, and the time that passes between them."""

    outcomes: list
    now: float = 0.0
    pauses: list = field(default_factory=list)
    told: list = field(default_factory=list)

    def read(self):
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    def run(self, **rules):
        rereads = Rereads(clock=lambda: self.now, sleep=self.sleep, on_failing=self.told.append, **rules)
        return rereads.until_whole(self.read, is_odd=lambda found: found == "odd")


def broken(**facts):
    return BrokenReadError("broken", **facts)


def short():
    return ResultsIncompleteError("short")


def test_what_is_whole_is_read_once():
    reading = Reading(["whole"])
    assert reading.run() == "whole"
    assert (reading.pauses, reading.told) == ([], [])


def test_a_broken_read_is_tried_again_at_once_and_then_ever_later():
    reading = Reading([broken()] * 9 + ["whole"])
    assert reading.run(longest_pause_seconds=20) == "whole"
    assert reading.pauses == [0, 1, 2, 4, 8, 16, 20, 20, 20]


def test_broken_reads_end_with_the_window_and_say_so_all_along():
    reading = Reading([broken()])
    with pytest.raises(BrokenReadError):
        reading.run(window_seconds=10)
    assert reading.pauses == [0, 1, 2, 4]
    assert reading.told == [0, 0, 1, 3, 7]


def test_the_end_of_a_failure_is_told():
    reading = Reading([broken(), "whole"])
    reading.run()
    assert reading.told == [0, 0.0]


def test_the_api_may_ask_for_a_longer_pause():
    reading = Reading([broken(retry_after_seconds=30), "whole"])
    reading.run()
    assert reading.pauses == [30]


def test_a_short_read_is_tried_twice_more():
    reading = Reading([short()])
    with pytest.raises(ResultsIncompleteError, match="short"):
        reading.run()
    assert reading.pauses == [0, 1]


def test_what_stays_odd_is_taken_as_it_is():
    reading = Reading(["odd"])
    assert reading.run() == "odd"
    assert (reading.pauses, reading.told) == ([0, 1], [])


def test_what_is_odd_once_is_read_again():
    reading = Reading(["odd", "whole"])
    assert reading.run() == "whole"


def test_a_broken_read_does_not_count_as_a_whole_one():
    reading = Reading([broken(), broken(), short(), "odd", "whole"])
    assert reading.run() == "whole"
