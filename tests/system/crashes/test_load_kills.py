"""A load that is killed at any point of any round publishes what it would have, and nobody pays twice."""

import secrets
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from airflow_provider_claude_batch.emulator import Emulator
from tests.system.crashes.conftest import SECONDS_PER_BATCH
from tests.system.crashes.crash_lab import BUCKET, CrashLab, CrashRun, Point, kill, wait_until
from tests.system.crashes.loaded import load_problems, published, shape
from tests.system.crashes.moments import AMONG_THE_FILES, AROUND_THE_WAIT, IN_THE_LOAD, IN_THE_SEND_OF_A_ROUND
from tests.system.crashes.test_kill_points import drawn

pytestmark = pytest.mark.airflow

HOURS = 3600
RANDOM_IN_PROOF = 50
AT_A_TIME = 10

#: Two rows of each of the first two batches: more than one batch of a second round takes.
FAULT = {"with_": "errored", "error_type": "overloaded_error", "count": 2, "times": 2}

Start = Callable[..., "Load"]


@dataclass
class Load:
    """One run, four of whose rows fail once, and the emulator that it alone sends to."""

    run: CrashRun
    emulator: Emulator

    def problems(self, *, like: "Load") -> list[str]:
        """Return what is wrong with it, compared with one that nobody killed."""
        table = published(self.run)
        found = load_problems(self.run, self.emulator, table)
        if shape(table) != shape(published(like.run)):
            found.append(f"rows: {shape(table)}, without a death: {shape(published(like.run))}")
        if self.emulator.faults_left:
            found.append(f"{self.emulator.faults_left} faults were not used up")
        return found


@pytest.fixture(scope="module")
def start(lab: CrashLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Return a function that starts a run with an emulator of its own."""
    for dag_id in ("crash_load", "crash_files"):
        lab.airflow.rest.wait_for_dag(dag_id)
        lab.airflow.rest.unpause(dag_id)
    with ExitStack() as stack:

        def begin(*points: Point, seconds_per_batch: float = 0, **how: object) -> Load:
            state = tmp_path_factory.mktemp("load") / "state"
            emulator = stack.enter_context(Emulator(state, seconds_per_batch=seconds_per_batch))
            emulator.fail("lines", **FAULT)
            return Load(lab.start(*points, emulator=emulator, **{"dag_id": "crash_load", **how}), emulator)

        yield begin


@pytest.fixture(scope="module")
def never(lab: CrashLab, start: Start) -> Load:
    """Return a run that nobody kills, and whose steps are counted."""
    load = start(count_steps=True)
    lab.wait([load.run])
    return load


@pytest.fixture(scope="module")
def loads(request: pytest.FixtureRequest, lab: CrashLab, start: Start) -> dict[str, Load]:
    """Return a run for each moment that is to be tested; they go on at the same time."""
    wanted = {
        item.callspec.params["moment"] for item in request.session.items if "loads" in item.fixturenames
    }
    waiting = {"dag_id": "crash_submit", "seconds_per_batch": SECONDS_PER_BATCH}
    found = {
        moment: start(kill(point, task="load"), **how)
        for moments, how in (
            (IN_THE_LOAD, {}),
            (IN_THE_SEND_OF_A_ROUND, {}),
            (AROUND_THE_WAIT, waiting),
            (AMONG_THE_FILES, {"dag_id": "crash_files"}),
        )
        for moment, point in moments.items()
        if moment in wanted
    }
    lab.wait([load.run for load in found.values()], timeout=900)
    return found


def test_a_load_that_nobody_kills_sends_again_what_failed_and_only_that(never: Load):
    assert not never.problems(like=never)
    assert Counter(published(never.run)["claude_rounds"].to_pylist()) == {1: 2, 2: 4}
    assert set(published(never.run)["claude_outcome"].to_pylist()) == {"ok"}


@pytest.mark.parametrize(
    "moment", [*IN_THE_LOAD, *IN_THE_SEND_OF_A_ROUND, *AROUND_THE_WAIT, *AMONG_THE_FILES]
)
def test_a_load_killed_at_a_moment_comes_to_what_it_would_have(
    moment: str, loads: dict[str, Load], never: Load
):
    assert not loads[moment].problems(like=never)


def test_a_load_cleared_while_it_waits_for_a_round_sends_it_once(lab: CrashLab, start: Start, never: Load):
    load = start(seconds_per_batch=HOURS)
    for number in (1, 2):
        wait_until(lambda: load.run.task_states["load"] == "deferred", what="the load waits")
        if number == 1:
            load.emulator.advance(HOURS)
            wait_until(lambda: len(load.emulator.batches) == 4, what="the round is sent")
    load.run.clear("load")
    wait_until(lambda: load.run.tries["load"] == 2, what="the load runs again")
    wait_until(lambda: load.run.task_states["load"] == "deferred", what="the load waits again")
    load.emulator.advance(HOURS)
    lab.wait([load.run])
    assert not load.problems(like=never)


@pytest.mark.proof
@pytest.mark.parametrize("moment", IN_THE_SEND_OF_A_ROUND)
def test_a_load_killed_while_it_sends_a_round_from_s3_pays_once(
    moment: str, lab: CrashLab, start: Start, never: Load
):
    load = start(kill(IN_THE_SEND_OF_A_ROUND[moment], task="load"), is_on_s3=True)
    lab.wait([load.run])
    assert not load.problems(like=never)


def random_points(seed: int, number: int, *, steps: int) -> list[Point]:
    """Return where a load dies: at one step; of every second one, also at a step of the try after that."""
    found = [kill(f"step:{1 + drawn(seed, 2 * number) % steps}", task="load")]
    if number % 2:
        found.append(kill(f"step:{1 + drawn(seed, 2 * number + 1) % steps}", task="load"))
    return found


@pytest.mark.proof
def test_loads_killed_after_any_number_of_steps_come_to_what_they_would_have(
    lab: CrashLab, start: Start, never: Load
):
    seed, steps = secrets.randbelow(2**32), never.run.steps("load")
    sys.stdout.write(f"seed {seed}, {steps} steps\n")
    found, reached = {}, 0
    for first in range(0, RANDOM_IN_PROOF, AT_A_TIME):
        some = [
            start(*random_points(seed, number, steps=steps)) for number in range(first, first + AT_A_TIME)
        ]
        lab.wait([load.run for load in some])
        reached += sum(load.run.reached()[0] for load in some)
        for load in some:
            name = str([point["point"] for point in load.run.points])
            # A later try has fewer steps to take: a point that it does not come to is not a death.
            load.run.points = load.run.points[: sum(load.run.reached())]
            found.update({name: problems} if (problems := load.problems(like=never)) else {})
    sys.stdout.write(f"{reached} of {RANDOM_IN_PROOF} died\n")
    assert found == {}, seed
    assert reached >= 0.8 * RANDOM_IN_PROOF


@dataclass(eq=False)
class Reader(threading.Thread):
    """
    Reads a dataset over and over.

    :param read: Returns the keys and texts at this moment, or raises.
    """

    read: Callable[[], pa.Table]
    seen: list[frozenset[tuple[int, str]]] = field(default_factory=list)
    failed: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self._has_ended = threading.Event()

    def run(self) -> None:
        """Read until told to stop; a read that finds the object replaced under it may fail."""
        while not self._has_ended.wait(0.05):
            try:
                table = self.read()
            except (OSError, pa.ArrowInvalid, duckdb.Error):
                self.failed += 1
                continue
            self.seen.append(frozenset(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True)))

    def stop(self) -> None:
        """Tell it to stop, and wait for it."""
        self._has_ended.set()
        self.join()


def readers(uri: str, s3_settings: dict[str, str]) -> list[Reader]:
    """Return a reader by pyarrow and one by DuckDB."""
    store = None
    if uri.startswith("s3://"):
        store = s3fs.S3FileSystem(
            key=s3_settings["AWS_ACCESS_KEY_ID"],
            secret=s3_settings["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=s3_settings["AWS_ENDPOINT_URL"],
            use_listings_cache=False,
            skip_instance_cache=True,
        )
    columns = ["id", "label"]

    def by_pyarrow() -> pa.Table:
        return pq.read_table(uri.removeprefix("s3://"), columns=columns, filesystem=store, partitioning=None)

    def by_duckdb() -> pa.Table:
        with duckdb.connect() as connection:
            if store is not None:
                connection.register_filesystem(store)
            return connection.read_parquet(uri).select(*columns).to_arrow_table()

    return [Reader(by_pyarrow), Reader(by_duckdb)]


def rows_of(run: CrashRun) -> frozenset[tuple[int, str]]:
    """Return keys and answers of a run: the emulator answers with what the prompt says."""
    return frozenset((key, f"What is {text}?") for key, text in run.lab.rows(run.label).items())


def replace_under_kills(lab: CrashLab, uri: str, *, sizes: Sequence[int]) -> list[CrashRun]:
    """Publish one run after the other in one place; the load of each dies before and after it does."""
    runs = []
    for size in sizes:
        points = [
            kill(IN_THE_LOAD[f"{when} the dataset is put"], task="load") for when in ("before", "after")
        ]
        runs.append(lab.start(*points, dag_id="crash_load", rows=size, destination=uri))
        lab.wait(runs[-1:])
    return runs


@pytest.mark.parametrize("store", ["disk", "S3"])
def test_a_reader_never_sees_rows_of_two_runs(
    store: str, lab: CrashLab, start: Start, s3_settings: dict[str, str], tmp_path: Path
):
    folder = str(tmp_path / "out") if store == "disk" else f"s3://{BUCKET}/{tmp_path.name}"
    both = readers(f"{folder}/data.parquet", s3_settings)
    for reader in both:
        reader.start()
    try:
        runs = replace_under_kills(lab, folder, sizes=(9, 6, 12))
    finally:
        for reader in both:
            reader.stop()
    assert [run.state for run in runs] == ["success"] * 3
    assert all(run.reached()[0] for run in runs)
    for reader in both:
        assert set(reader.seen) <= {rows_of(run) for run in runs}
        assert reader.seen[-1] == rows_of(runs[-1])
        assert len(set(reader.seen)) >= 2
