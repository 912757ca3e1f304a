"""A warehouse, an emulator for every Dag, and one real Airflow that runs all the Dags."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from airflow_provider_claude_batch.emulator import Emulator
from bench.peers.dag_setup import FOLDER_VARIABLE, SQL_CONN_ID, DagSetup
from bench.submitting.postgres_server import postgres_server
from demo.airflow_standalone import AirflowStandalone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
_DAGS = Path(__file__).parent / "dags"
_WORDS = ("delivery", "late", "package", "broken", "refund", "service", "great", "quality", "price", "again")
_WORDS_IN_ROW = 40
#: Of a shard whose answer was lost, before it is sent again; 900 by default, which is long for a benchmark.
_GRACE_SECONDS = 8


@dataclass(frozen=True, slots=True)
class World:
    """
    What runs while scenarios are played.

    :param emulators: By Dag id.
    """

    airflow: AirflowStandalone
    emulators: dict[str, Emulator]


def make_warehouse(path: Path, *, rows: int, many_rows: int, seed: int) -> None:
    """Make the tables ``few_rows`` and ``many_rows``, each of a key and a text."""
    random = np.random.default_rng(seed)
    with closing(duckdb.connect(str(path))) as database:
        for table, count in {"few_rows": rows, "many_rows": many_rows}.items():
            texts = [" ".join(random.choice(_WORDS, _WORDS_IN_ROW)) for _ in range(count)]
            columns = pa.table({"id": range(1, count + 1), "body": texts})
            database.from_arrow(columns).create(table)


@contextmanager
def running(folder: Path, setups: Sequence[DagSetup]) -> Iterator[World]:
    """Yield the world of all ``setups``, below ``folder``, which holds the warehouse."""
    with ExitStack() as stack:
        emulators = {
            setup.dag_id: stack.enter_context(
                Emulator(
                    folder / "emulators" / setup.dag_id,
                    seconds_per_batch=setup.scenario.seconds_per_batch,
                )
            )
            for setup in setups
        }
        port = stack.enter_context(postgres_server())
        variables = _variables(folder, setups, emulators) | {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
        }
        airflow = AirflowStandalone(folder / "airflow", dags_folder=_DAGS, environment=variables)
        yield World(stack.enter_context(airflow), emulators)


def _variables(folder: Path, setups: Sequence[DagSetup], emulators: dict[str, Emulator]) -> dict[str, str]:
    connections = {setup.dag_id: _connection(setup, emulators[setup.dag_id]) for setup in setups}
    warehouse = {
        "conn_type": "duckdb",
        "host": str(folder / "warehouse.duckdb"),
        "extra": {"read_only": True},
    }
    connections[SQL_CONN_ID] = json.dumps(warehouse)
    return {
        FOLDER_VARIABLE: str(folder),
        "PYTHONPATH": str(ROOT),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__PARALLELISM": "6",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        "AIRFLOW__CLAUDE_BATCH__STAGING_PATH": str(folder / "staging"),
        "AIRFLOW__CLAUDE_BATCH__LOST_CREATE_GRACE_SECONDS": str(_GRACE_SECONDS),
        **{f"AIRFLOW_CONN_{name.upper()}": connection for name, connection in connections.items()},
    }


def _connection(setup: DagSetup, emulator: Emulator) -> str:
    return json.dumps({**json.loads(emulator.connection_json), "conn_type": setup.pipeline.conn_type})
