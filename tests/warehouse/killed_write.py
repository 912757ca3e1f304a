"""A process that writes a dataset and kills itself in the middle: ``MOMENT FILE ROWS``."""

import os
import signal
import sys

from tests.warehouse.datasets import write

CHUNK_ROWS = 50


def kill_when(has_come):
    """Kill this process when ``has_come`` says so of a function that is called, and of the calls before."""
    calls = {}

    def watch(frame, event, argument):
        if event in ("call", "c_call"):
            name = frame.f_code.co_name if event == "call" else argument.__name__
            calls[name] = calls.get(name, 0) + 1
            if has_come(name, calls, frame.f_locals):
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)


def is_insert(name, values):
    return name == "run" and str(values.get("sql")).startswith("insert into") and "join" in values["sql"]


MOMENTS = {
    "half of the rows are staged": lambda name, calls, values: calls.get("batches", 0) > 10,
    "the old rows are changed": lambda name, calls, values: is_insert(name, values),
    "all but the commit": lambda name, calls, values: name == "commit" and calls.get("check_staged", 0) > 0,
}

if __name__ == "__main__":
    moment, file, rows = sys.argv[1:]
    kill_when(MOMENTS[moment])
    write({"files": [file], "rows": int(rows)}, chunk_rows=CHUNK_ROWS)
