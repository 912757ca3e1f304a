"""What the Dag files of all pipelines share: one Dag for each scenario, and the same rows for all."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import get_parsing_context

from bench.peers.kills import arm
from bench.peers.scenarios import SCENARIOS, SPEED, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers.pipelines import Pipeline

#: Environment variable that names the folder of the comparison.
FOLDER_VARIABLE = "BENCH_PEERS_FOLDER"

MODEL = "claude-haiku-5-5"
MAX_TOKENS = 256
POLL_SECONDS = 2
SQL_CONN_ID = "warehouse"
DEFAULT_ARGS = {"retries": 2, "retry_delay": timedelta(seconds=1)}


@dataclass(frozen=True, slots=True)
class DagSetup:
    """What one Dag needs to know; it has the connection of its own name."""

    pipeline: Pipeline
    scenario: Scenario
    folder: Path

    @property
    def dag_id(self) -> str:
        """Return the id of the Dag, which is also that of its connection."""
        return f"{self.pipeline.name}_{self.scenario.name}"

    @property
    def output(self) -> Path:
        """Return the folder for what the Dag writes."""
        return self.folder / "output" / self.dag_id

    @property
    def kill_order(self) -> Path:
        """Return the file that orders the death of a task process."""
        return self.folder / "kills" / f"{self.dag_id}.json"

    @property
    def sql(self) -> str:
        """Return the query for the rows."""
        if self.scenario == SPEED:
            return "select id, body from many_rows order by id"
        return "select id, body from few_rows order by id"

    def prompts(self) -> list[tuple[int, str]]:
        """Return key and prompt of each row, as the author of a peer's Dag has to."""
        import duckdb

        with closing(duckdb.connect(str(self.folder / "warehouse.duckdb"), read_only=True)) as database:
            rows = database.execute(self.sql).fetchall()
        return [(key, f"Review {key}: {body}") for key, body in rows]


def setups(pipeline: Pipeline) -> Iterator[DagSetup]:
    """Yield the setup of each Dag; in a task process, of the task's own Dag only, its death armed."""
    wanted = get_parsing_context().dag_id
    for scenario in (*SCENARIOS, SPEED):
        setup = DagSetup(pipeline, scenario, Path(os.environ[FOLDER_VARIABLE]))
        if wanted in (None, setup.dag_id):
            if wanted is not None:
                arm(setup.kill_order)
            yield setup
