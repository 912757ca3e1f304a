import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_claude_batch.core.deadline import to_deadline
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

NOW = dt.datetime(2026, 11, 22, 23, 30, tzinfo=dt.UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("", None),
        (dt.timedelta(hours=7), "2026-11-23T06:30:00+00:00"),
        ("06:30", "2026-11-23T06:30:00+01:00"),
        (dt.time(6, 30), "2026-11-23T06:30:00+01:00"),
        ("00:45", "2026-11-23T00:45:00+01:00"),
        ("00:15", "2026-11-24T00:15:00+01:00"),
        ("2026-11-23T06:30:00", "2026-11-23T06:30:00+01:00"),
        ("2026-11-23T06:30:00Z", "2026-11-23T06:30:00+00:00"),
        (dt.datetime(2026, 11, 23, 6, 30, tzinfo=BERLIN), "2026-11-23T06:30:00+01:00"),
    ],
)
def test_a_deadline_is_the_moment_that_the_author_means(given, expected):
    found = to_deadline(given, now=NOW, timezone=BERLIN)
    assert (found and found.isoformat()) == expected


@pytest.mark.parametrize("given", ["half past six", 6, dt.timedelta(0), "2026-11-22T06:30:00Z"])
def test_what_is_no_deadline_or_has_passed_is_refused_before_anything_is_sent(given):
    with pytest.raises(ClaudeBatchInputError, match="Nothing was sent"):
        to_deadline(given, now=NOW, timezone=BERLIN)
