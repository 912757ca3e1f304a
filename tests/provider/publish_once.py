"""Publish a dataset and die at a step of it: what a process of its own is to run."""

import hashlib
import importlib
import inspect
import io
import itertools
import os
import signal
import sys
import threading
from functools import partial
from types import CodeType, FrameType

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_claude_batch.submission.dataset_how import PublishHow
from airflow_provider_claude_batch.submission.publish import Destination, ReadyFile
from tests.provider.datasets import publish_all, row, to_batches

LAYOUTS = {
    "object": PublishHow(),
    "copied": PublishHow(),
    "sorted": PublishHow(sort_by=("id",)),
    "partitioned": PublishHow(partition_by=("kind",)),
}
ROWS = {
    "old": [row(number) for number in range(50)],
    "new": [row(number, body="new") for number in range(60)],
}


def publish_new(to: str, layout: str) -> None:
    """Publish the new rows; with the layout ``copied`` from a file that holds them already."""
    given: dict[str, object] = {"how": LAYOUTS[layout]}
    if layout == "copied":
        landed = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_batches(to_batches(ROWS["new"])), landed)
        octets = landed.getvalue().to_pybytes()
        given["ready"] = ReadyFile("landed", partial(io.BytesIO, octets), hashlib.sha256(octets).hexdigest())
    publish_all(Destination.at(to), ROWS["new"], **given)


def publish_and_die(to: str, layout: str, step: str, nth: int) -> None:
    """
    Publish the new rows, and kill this process when a step is called for the ``nth`` time.

    :param step: A function or method below ``submission``, as ``module:name``.
    """
    module, _, name = step.partition(":")
    found: object = importlib.import_module(f"airflow_provider_claude_batch.submission.{module}")
    for part in name.split("."):
        found = getattr(found, part)
    # A context manager's code is behind its decorator.
    code: CodeType = inspect.unwrap(found).__code__
    calls = itertools.count(1)

    def trace(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is code and next(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(trace)
    sys.setprofile(trace)
    publish_new(to, layout)
