"""Whatever is wrong with the results, a load publishes every row once with what it cost, or nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_claude_batch.emulator import Emulator
from tests.system.crashes.crash_lab import CrashLab, CrashRun
from tests.system.crashes.loaded import load_problems, read_dataset

pytestmark = pytest.mark.airflow

ROWS = 6

#: Calls of one read of the results: the client asks twice more by itself.
ONE_READ = 3

#: What was in the destination before.
OLD = pa.table({"id": [0]})

Fault = Mapping[str, object]


@dataclass(frozen=True)
class Case:
    """
    What goes wrong and what must come of it.

    :param outcomes: Rows of the dataset by outcome; ``None`` where nothing is to be published.
    :param again: Rows that are sent a second time.
    :param unseen: Answers that are billed and that nobody is shown.
    :param says: In the log of the load.
    """

    faults: tuple[Fault, ...]
    outcomes: Mapping[str, int] | None
    again: int = 0
    unseen: int = 0
    says: str = ""


def lines(with_: str, *, times: int = 2, count: int = 1, **details: object) -> Fault:
    """Return a fault of one line of each of the first two batches, which are all of the first round."""
    return {"operation": "lines", "with_": with_, "times": times, "count": count, **details}


def cut(framing: str, at: str) -> Fault:
    return {"operation": "results", "with_": "cut-results", "lines": 1, "framing": framing, "at": at}


def status(number: int) -> Fault:
    return {"operation": "results", "with_": "status", "status": number, "times": ONE_READ + 1}


ALL_OK = {"ok": ROWS}
READS = {
    **{
        f"cut at the {at}, {framing}": cut(framing, at)
        for framing in ("content-length", "chunked", "none")
        for at in ("line-middle", "line-end")
    },
    **{f"status {number}": status(number) for number in (404, 429, 500, 529)},
    "a page of a gateway": {**status(502), "form": "html"},
    "slow": {"operation": "results", "with_": "slow-download", "bytes_per_second": 2_000},
    "reset": {"operation": "results", "with_": "reset-connection", "times": ONE_READ + 1},
    "closed": {"operation": "results", "with_": "close-connection", "times": ONE_READ + 1},
}
TEMPORARY = ("overloaded_error", "rate_limit_error", "api_error", "timeout_error", "some_error_of_the_future")
PERMANENT = (
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "billing_error",
)
IMPROVE = ("expired", "canceled", "invalid-output", "max_tokens")
STAY = {"refusal": "refused", "pause_turn": "truncated", "model_context_window_exceeded": "truncated"}

CASES = {
    **{f"results: {name}": Case((fault,), ALL_OK) for name, fault in READS.items()},
    **{name: Case((lines("errored", error_type=name),), ALL_OK, again=2) for name in TEMPORARY},
    **{name: Case((lines("errored", error_type=name),), {"ok": 4, "errored": 2}) for name in PERMANENT},
    **{name: Case((lines(name),), ALL_OK, again=2) for name in IMPROVE},
    **{name: Case((lines(name),), {"ok": 4, outcome: 2}) for name, outcome in STAY.items()},
    "lone-surrogate": Case((lines("lone-surrogate"),), ALL_OK),
    "a line of another request in the place of one": Case(
        (lines("missing"), lines("foreign")), ALL_OK, again=2, unseen=2, says="come out as missing"
    ),
    "one line twice and another not at all": Case(
        (lines("missing"), lines("doubled")), ALL_OK, again=2, unseen=2, says="come out as missing"
    ),
    "one line twice": Case((lines("doubled"),), ALL_OK, says="1 doubled"),
    "a line of another request": Case((lines("foreign"),), ALL_OK, says="1 of other requests"),
    "a line too few": Case((lines("missing"),), ALL_OK, again=2, unseen=2, says="come out as missing"),
    "lines too few for a slip": Case((lines("missing", count=2),), None, says="2 missing"),
    "five refused": Case((lines("refusal", count=2), lines("refusal", times=1)), None, says="5 refused"),
    "all refused": Case((lines("refusal", count=3),), None, says="6 refused"),
    "all expired in every round": Case((lines("expired", count=3, times=6),), None, says="6 expired"),
    "no credit": Case(
        (lines("errored", count=3, error_type="billing_error"),), None, says="the account has no credit left"
    ),
}

#: Told from a case beside it by the API's words only.
IN_PROOF = {
    *(f"results: cut at the line-end, {framing}" for framing in ("content-length", "chunked")),
    *("results: status 429", "results: status 500", "results: closed"),
    *TEMPORARY[1:],
    *PERMANENT[1:-1],
    *("canceled", "pause_turn", "model_context_window_exceeded"),
}


def names(*, is_published: bool) -> list[object]:
    return [
        pytest.param(name, marks=[pytest.mark.proof] if name in IN_PROOF else [])
        for name, case in CASES.items()
        if (case.outcomes is not None) == is_published
    ]


@dataclass
class Faulty:
    """One run, and the emulator that it alone sends to."""

    run: CrashRun
    emulator: Emulator
    destination: Path


@pytest.fixture(scope="module")
def faulty(
    request: pytest.FixtureRequest, lab: CrashLab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Faulty]]:
    """Give a run for each case that is to be tested, all at the same time."""
    wanted = {item.callspec.params["name"] for item in request.session.items if "faulty" in item.fixturenames}
    lab.airflow.rest.wait_for_dag("crash_load")
    lab.airflow.rest.unpause("crash_load")
    found = {}
    with ExitStack() as stack:
        for name, case in CASES.items():
            if name not in wanted:
                continue
            folder = tmp_path_factory.mktemp("faulty")
            emulator = stack.enter_context(Emulator(folder / "state"))
            for fault in case.faults:
                emulator.fail(**fault)
            destination = folder / "out"
            destination.mkdir()
            pq.write_table(OLD, destination / "data.parquet")
            run = lab.start(rows=ROWS, emulator=emulator, dag_id="crash_load", destination=str(destination))
            found[name] = Faulty(run, emulator, destination)
        lab.wait([one.run for one in found.values()], timeout=600)
        yield found


def log_of(run: CrashRun) -> str:
    return run.lab.log_tails(run, lines=1_000)


def written(run: CrashRun, pattern: str) -> list[int]:
    """Return when some files of a run's manifest folder were last written, in nanoseconds."""
    return [path.stat().st_mtime_ns for path in (run.folder / "staging" / "crash_load").rglob(pattern)]


@pytest.mark.parametrize("name", names(is_published=True))
def test_every_row_is_published_once_with_what_it_cost(name: str, faulty: dict[str, Faulty]):
    one, case = faulty[name], CASES[name]
    table = read_dataset(one.destination)
    assert not load_problems(one.run, one.emulator, table, unseen=case.unseen)
    assert Counter(table["claude_outcome"].to_pylist()) == case.outcomes
    assert Counter(table["claude_rounds"].to_pylist())[2] == case.again
    assert case.says in log_of(one.run)
    assert one.emulator.faults_left == 0


@pytest.mark.parametrize("name", names(is_published=True))
def test_nothing_is_published_before_all_is_landed(name: str, faulty: dict[str, Faulty]):
    one = faulty[name]
    landed = written(one.run, "results-*.parquet") + written(one.run, "batch-*.json")
    [receipt] = written(one.run, "g00/receipt.json")
    assert max(landed) <= (one.destination / "data.parquet").stat().st_mtime_ns <= receipt


@pytest.mark.parametrize("name", names(is_published=False))
def test_what_is_refused_leaves_the_destination_as_it_was(name: str, faulty: dict[str, Faulty]):
    one = faulty[name]
    assert one.run.state == "failed"
    assert CASES[name].says in log_of(one.run)
    assert read_dataset(one.destination) == OLD
    assert [path.name for path in one.destination.iterdir()] == ["data.parquet"]
    assert written(one.run, "receipt.json") == []
    assert one.emulator.faults_left == 0
