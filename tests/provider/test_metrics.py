"""What of ours arrives at a StatsD server, from a process whose metrics are set up as a task's are."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"

SET_UP = """
import inspect
from decimal import Decimal
from importlib.util import find_spec

from airflow.providers.common.compat.sdk import Stats
from airflow_provider_claude_batch.submission import metrics
from airflow_provider_claude_batch.submission.staging import TaskInstanceId

if find_spec("airflow.sdk.observability"):
    from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

    # Each version asks for something else.
    needed = inspect.signature(get_stats_factory).parameters
    given = {"factory": get_stats_factory(*[Stats for _ in needed]), "export_legacy_names": True}
    Stats.initialize(**{name: given[name] for name in inspect.signature(Stats.initialize).parameters})
ti = TaskInstanceId(dag_id="label", run_id="r", task_id="nightly.submit")
"""

EVENTS = """
metrics.batches_submitted(ti, batches=3, requests=250_000)
metrics.batches_in_progress(ti, batches=2, requests=150_000)
metrics.queue_used(ti, requests=150_000, max_requests=200_000)
metrics.batch_ended(ti, seconds=1834.5)
metrics.retrieval_failing(ti, seconds=42.0)
metrics.rows_published(
    ti,
    outcomes={"ok": 990, "refused": 10},
    tokens={"input": 5, "cache_write_1h": 100, "cache_read": 300},
    cost_usd=Decimal("1.25"),
)
"""

NOTHING_KNOWN = """
metrics.rows_published(ti, outcomes={}, tokens={}, cost_usd=None)
metrics.queue_used(ti, requests=0, max_requests=0)
"""


def received(code, *, is_on=True):
    """Run code in a process of its own, and return what arrived."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        metrics = {
            "STATSD_ON": str(is_on),
            "STATSD_HOST": "127.0.0.1",
            "STATSD_PORT": str(server.getsockname()[1]),
            "STATSD_INFLUXDB_ENABLED": "True",
        }
        environment = os.environ | {f"AIRFLOW__METRICS__{name}": value for name, value in metrics.items()}
        subprocess.run([sys.executable, "-c", SET_UP + code], env=environment, check=True)
        return list(lines_of(server))


def lines_of(server):
    while True:
        try:
            line = server.recv(65_536).decode()
        except BlockingIOError:
            return
        if line.startswith("airflow.claude_batch."):
            yield line


@pytest.fixture(scope="module")
def events():
    return received(EVENTS)


def name_of(line):
    return re.split("[,:]", line)[0].removeprefix("airflow.")


def test_every_event_is_sent_with_the_task_s_names(events):
    tags = ",dag_id=label,task_id=nightly.submit:"
    assert all(tags in line for line in events)
    assert [line.removeprefix("airflow.claude_batch.").replace(tags, " ") for line in events] == [
        "batches_submitted 3|c",
        "requests_submitted 250000|c",
        "batches_in_progress 2|g",
        "requests_in_progress 150000|g",
        "queue_requests 150000|g",
        "queue_used 0.75|g",
        "batch_duration 1834500.000000|ms",
        "retrieval_failing_seconds 42.0|g",
        "rows.ok 990|c",
        "rows.refused 10|c",
        "failure_rate 0.01|g",
        "cache_hit_rate 0.75|g",
        "cost_usd 1.25|g",
        "cost_microusd 1250000|c",
        "cost_per_row_usd 0.00125|g",
    ]


def test_the_page_names_every_metric(events):
    documented = set(re.findall(r"`(claude_batch\.[a-z_.]+)", DOCUMENT.read_text()))
    sent = {name_of(line) for line in events}
    assert documented == {re.sub(r"(?<=\.rows\.)\w+", "", name) for name in sent}


def test_what_is_not_known_is_not_sent():
    assert {name_of(line) for line in received(NOTHING_KNOWN)} == {
        "claude_batch.queue_requests",
        "claude_batch.queue_used",
    }


def test_nothing_is_sent_where_metrics_are_off():
    assert received(EVENTS, is_on=False) == []
