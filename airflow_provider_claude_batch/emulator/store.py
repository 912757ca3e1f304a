"""
What must outlive the process: one SQLite database and one folder a batch, in the state folder.

A record is durable when the call that writes it returns: it survives the death of the process at any point.
"""

import shutil
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from airflow_provider_claude_batch.emulator.faults import Fault
from airflow_provider_claude_batch.emulator.tally import ModelUsage
from airflow_provider_claude_batch.emulator.wire import encode

_SCHEMA = """
create table if not exists batches (
    sequence integer primary key autoincrement,
    id text unique not null,
    workspace text not null,
    created_at real not null,
    is_deleted integer not null default 0,
    has_ended integer not null default 0,
    record blob not null
);
create index if not exists batches_by_workspace on batches (workspace, sequence);
create table if not exists notes (name text primary key, value blob not null);
"""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """
    The record of one batch; times are epoch seconds.

    :param seconds: From creation to the end if nothing intervenes; ``None`` never ends.
    :param api_version: The ``anthropic-version`` of the create, which decides what its params may hold.
    :param betas: The ``anthropic-beta`` values of the create.
    :param line_faults: Faults ordered for the lines of its results.
    :param answered_at: When all of its requests had been answered to disk; ``None`` until then.
    :param counts: Requests by result type, as answered or, once ended, as they stand.
    :param usage: What was billed, by model.
    """

    id: str
    workspace: str
    created_at: float
    request_count: int
    seconds: float | None
    api_version: str
    betas: tuple[str, ...] = ()
    user_profile_id: str | None = None
    line_faults: tuple[Fault, ...] = ()
    cancel_initiated_at: float | None = None
    seconds_to_cancel: float = 0.0
    answered_at: float | None = None
    counts: dict[str, int] = {}
    usage: tuple[ModelUsage, ...] = ()
    ended_at: float | None = None
    is_deleted: bool = False


_SELECT = "select record from batches "
_VISIBLE = "where workspace = ? and not is_deleted and created_at <= ? "
_NEWEST = 2**63 - 1
_FOREVER = float("inf")

_decode_batch = msgspec.json.Decoder(Batch).decode


@dataclass(slots=True)
class Store:
    """
    The state folder, opened; made if it is not there.

    :param folder: Where the state is.
    """

    folder: Path
    _database: sqlite3.Connection = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(
            self.folder / "emulator.sqlite3", check_same_thread=False, isolation_level=None
        )
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = normal")
        self._database.executescript(_SCHEMA)
        self._remove_strays()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def incoming_folder(self, name: str) -> Path:
        """Make and return a folder for a body that is arriving."""
        folder = self.folder / "incoming" / name
        folder.mkdir(parents=True)
        return folder

    def batch_folder(self, batch_id: str) -> Path:
        """Return the folder of an accepted batch."""
        return self.folder / "batches" / batch_id

    def accept(self, batch: Batch, incoming: Path) -> None:
        """Make ``batch`` exist, with the files of ``incoming`` as its folder; on return it is durable."""
        target = self.batch_folder(batch.id)
        target.parent.mkdir(exist_ok=True)
        incoming.rename(target)
        with self._lock:
            self._database.execute(
                "insert into batches (id, workspace, created_at, record) values (?, ?, ?, ?)",
                (batch.id, batch.workspace, batch.created_at, encode(batch)),
            )

    def change(self, batch_id: str, **changes: object) -> Batch:
        """Change fields of a record, whoever else changes others, and return it."""
        with self._lock:
            row = self._database.execute("select record from batches where id = ?", (batch_id,)).fetchone()
            batch = msgspec.structs.replace(_decode_batch(row[0]), **changes)
            self._database.execute(
                "update batches set record = ?, is_deleted = ?, has_ended = ? where id = ?",
                (encode(batch), batch.is_deleted, batch.ended_at is not None, batch_id),
            )
        return batch

    def remove_files(self, batch_id: str) -> None:
        """Remove the requests and results of a batch."""
        shutil.rmtree(self.batch_folder(batch_id), ignore_errors=True)

    def find(self, batch_id: str, workspace: str | None = None) -> Batch | None:
        """Return the batch, unless it was deleted or belongs to another workspace."""
        rows = self._batches(
            _SELECT + "where id = ? and not is_deleted and (workspace = ? or ? is null)",
            batch_id,
            workspace,
            workspace,
        )
        return rows[0] if rows else None

    def every_batch(self) -> list[Batch]:
        """Return all batches, deleted ones too, newest first."""
        return self._batches(_SELECT + "order by sequence desc")

    def open_batches(self) -> list[Batch]:
        """Return the batches that have not ended, oldest first."""
        return self._batches(_SELECT + "where not has_ended order by sequence")

    def sequence(self, batch_id: str, workspace: str) -> int | None:
        """Return where a batch stands in the order of creation; a deleted one keeps its place."""
        with self._lock:
            row = self._database.execute(
                "select sequence from batches where id = ? and workspace = ?", (batch_id, workspace)
            ).fetchone()
        return None if row is None else int(row[0])

    def older(
        self, workspace: str, *, than: int | None, limit: int, until: float | None = None
    ) -> list[Batch]:
        """
        Return up to ``limit`` batches older than the one at ``than``, or the newest, newest first.

        :param until: Only batches created by then.
        """
        return self._batches(
            _SELECT + _VISIBLE + "and sequence < ? order by sequence desc limit ?",
            workspace,
            _FOREVER if until is None else until,
            _NEWEST if than is None else than,
            limit,
        )

    def newer(self, workspace: str, *, than: int, limit: int, until: float | None = None) -> list[Batch]:
        """
        Return the ``limit`` batches that follow the one at ``than``, newest first.

        :param until: Only batches created by then.
        """
        return self._batches(
            _SELECT + _VISIBLE + "and sequence > ? order by sequence limit ?",
            workspace,
            _FOREVER if until is None else until,
            than,
            limit,
        )[::-1]

    def note(self, name: str) -> bytes | None:
        """Return what was last written under ``name``."""
        with self._lock:
            row = self._database.execute("select value from notes where name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def write_note(self, name: str, value: bytes) -> None:
        """Write ``value`` under ``name``."""
        with self._lock:
            self._database.execute("insert or replace into notes (name, value) values (?, ?)", (name, value))

    def _batches(self, statement: str, *values: object) -> list[Batch]:
        with self._lock:
            rows = self._database.execute(statement, values).fetchall()
        return [_decode_batch(row[0]) for row in rows]

    def _remove_strays(self) -> None:
        """Remove what a process that died left behind: bodies that never became a batch."""
        shutil.rmtree(self.folder / "incoming", ignore_errors=True)
        batches = self.folder / "batches"
        for folder in batches.iterdir() if batches.exists() else ():
            if not self._batches(_SELECT + "where id = ?", folder.name):
                shutil.rmtree(folder)
