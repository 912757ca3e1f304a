import pytest

from airflow_provider_claude_batch.core.results_decision import (
    BatchCounts,
    is_odd,
    refusal,
    unseen_answers,
)
from airflow_provider_claude_batch.core.results_to_arrow import LineCounts


def told(requests=1_000, *, ended=None, succeeded=None):
    ended = requests if ended is None else ended
    return BatchCounts(requests=requests, ended=ended, succeeded=ended if succeeded is None else succeeded)


def read(lines=1_000, *, succeeded=None, **counts):
    extra = sum(counts.get(name, 0) for name in ("foreign", "doubled", "unreadable"))
    return LineCounts(lines=lines, succeeded=lines - extra if succeeded is None else succeeded, **counts)


def judged(counts, batch):
    """Judge the last of two equal reads."""
    return refusal(counts, batch, before=counts)


@pytest.mark.parametrize(
    ("counts", "batch"),
    [
        (read(), told()),
        (read(1_001, doubled=1), told()),
        (read(1_001, foreign=1), told()),
        (read(2_000, foreign=1_000), told()),
        (read(), told(ended=999)),
        (read(), told(ended=1_001)),
        (read(), told(ended=0)),
        (read(1_000, missing=1, doubled=1), told()),
        (read(999, missing=1), told()),
        (read(990, missing=10), told()),
        (read(4, missing=1), told(5)),
        (read(1, missing=1), told(2)),
        (read(500, missing=500), told(succeeded=500)),
        (read(0, missing=1_000), told(succeeded=0)),
        (read(1_000, unreadable=10), told()),
    ],
)
def test_rows_are_made_where_each_has_its_line_or_may_go_again_without_being_paid_twice(counts, batch):
    assert judged(counts, batch) is None


@pytest.mark.parametrize(
    ("counts", "batch", "why"),
    [
        (read(1_000, foreign=1_000, missing=1_000), told(), "not one line"),
        (read(1_000, foreign=1_000, missing=1_000), told(succeeded=0), "not one line"),
        (read(1_001, doubled=1, differing=1), told(), "1 lines are not what"),
        (read(0, missing=1_000), told(), "empty"),
        (read(0, missing=1), told(1), "empty"),
        (read(989, missing=11), told(), "11 answers"),
        (read(3, missing=2), told(5), "2 answers"),
        (read(1_000, missing=11, doubled=11), told(), "11 answers"),
        (read(1_000, unreadable=11), told(), "11 answers"),
        (read(989, missing=11), told(ended=989), "11 answers"),
        (read(0, missing=1_000), told(ended=0), "empty"),
    ],
)
def test_where_answers_may_be_there_that_are_not_shown_nothing_is_made(counts, batch, why):
    assert why in judged(counts, batch)


def test_requests_without_a_line_must_be_the_same_twice():
    short = read(999, missing=1, missing_digest="a")
    other = read(999, missing=1, missing_digest="b")
    assert refusal(short, told(), before=None) is not None
    assert refusal(short, told(), before=other) is not None
    assert refusal(short, told(), before=short) is None


def test_what_was_not_billed_needs_no_second_look_to_go_again():
    assert refusal(read(900, missing=100), told(succeeded=900), before=None) is None


@pytest.mark.parametrize(
    ("counts", "batch", "unseen"),
    [
        (read(990, missing=10), told(succeeded=995), 5),
        (read(990, missing=10), told(ended=990), 10),
        (read(990, missing=4), told(), 4),
        (read(), told(succeeded=0), 0),
    ],
)
def test_answers_that_are_not_shown_are_counted_by_what_the_server_says(counts, batch, unseen):
    assert unseen_answers(counts, batch) == unseen


@pytest.mark.parametrize(
    ("counts", "batch", "odd"),
    [
        (read(), told(), False),
        (read(), told(ended=999), True),
        (read(1_001, doubled=1), told(), True),
        (read(1_001, foreign=1), told(), True),
        (read(999, missing=1), told(), True),
        (read(unreadable=1), told(), True),
    ],
)
def test_what_is_not_one_line_for_each_request_is_looked_at_again(counts, batch, odd):
    assert is_odd(counts, batch) is odd
