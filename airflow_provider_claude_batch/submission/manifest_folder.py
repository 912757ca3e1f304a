"""
The manifest folder of one submission: which record lies where, read and written one by one.

Absent is ``None``; unreadable is an error. What the records mean for money is decided in core.
"""

from __future__ import annotations

import glob
import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_claude_batch.core.manifest import (
    BatchRecord,
    Cap,
    Estimated,
    PilotResult,
    Plan,
    Receipt,
    Refused,
    Round,
    Sent,
    ShardRecord,
    WithoutCredit,
    from_json,
    to_json,
)
from airflow_provider_claude_batch.errors import ManifestUnreadableError, UnsafeStagingError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class ManifestFolder:
    """One generation of one submission."""

    folder: Folder

    @classmethod
    def at(cls, uri: str) -> ManifestFolder:
        """Open the folder that a submit task's output names."""
        return cls(Folder.at(uri))

    @property
    def uri(self) -> str:
        """What the submit task's output, the log and the receipt call the folder."""
        return self.folder.uri

    def read_plan(self) -> Plan | None:
        """Return the plan, or ``None`` where no snapshot was finished."""
        return self._read(names.PLAN, Plan)

    def write_plan(self, plan: Plan) -> None:
        """
        Say that the snapshot is whole, and that it is the one of this generation.

        :raises FileExistsError: Another try's snapshot is.
        :raises UnsafeStagingError: The store lets a file be created twice.
        """
        self._check_exclusive(names.probe_path(plan.identity))
        self.folder.write_new(names.PLAN, to_json(plan))

    def _check_exclusive(self, probe: str) -> None:
        """See that the store refuses a second create: all that keeps two processes from sending a shard."""
        self.folder.write_new(probe, b"")
        try:
            self.folder.write_new(probe, b"")
        except FileExistsError:
            return
        finally:
            self.folder.remove(probe)
        raise UnsafeStagingError(
            f"{self.folder.uri} lets the same file be created twice, so two tries could pay for the same "
            "rows. Give a staging path on a store that knows conditional creates, such as S3, GCS, Azure "
            "or a disk. Nothing was sent."
        )

    def read_round(self, index: int, identity: str) -> Round | None:
        """Return a round's record, or ``None`` where its shards are not whole."""
        return self._read(names.record_path(index, identity), Round)

    def rounds(self, plan: Plan) -> list[Round]:
        """Return the rounds on record, from the submit task's on."""
        found: list[Round] = []
        while (record := self.read_round(len(found), plan.identity)) is not None and not record.is_closed:
            found.append(record)
        return found

    def commit_round(self, record: Round, *, identity: str) -> Round | None:
        """
        Say that a later round's shards are whole, exclusively.

        :param identity: Of the snapshot.
        :return: The round that is on record now, this one or another try's; ``None`` where a later generation
            has closed the submission.
        """
        try:
            self.folder.write_new(names.record_path(record.index, identity), to_json(record))
        except FileExistsError:
            found = self.read_round(record.index, identity)
            if found is None:
                raise
            record = found
        return None if record.is_closed else record

    def write_round(self, record: Round) -> None:
        """Say that a round's shards are whole."""
        self.folder.write(names.record_path(record.index, record.identity), to_json(record))

    def write_sent(self, round_index: int, shard: int, record: Sent) -> None:
        """
        Say, before the last byte goes out, that a shard may be a batch from here on.

        :raises FileExistsError: This attempt is on record already: somebody else sends, or has sent.
        """
        path = names.sent_path(round_index, shard, record.attempt)
        try:
            self.folder.write_new(path, to_json(record))
        except FileExistsError:
            # A client library repeats a put whose answer was lost: then it is our own that is there.
            found = self._read(path, Sent)
            if found is None or found.nonce != record.nonce:
                raise

    def attempts(self, round_index: int, shard: int) -> list[tuple[Sent, Refused | None]]:
        """Return every attempt on record for a shard, from the first, each with the API's refusal if any."""
        found = []
        for attempt in itertools.count(1):
            sent = self._read(names.sent_path(round_index, shard, attempt), Sent)
            if sent is None:
                break
            found.append((sent, self._read(names.refused_path(round_index, shard, attempt), Refused)))
        return found

    def is_closed(self, round_index: int, shard: int) -> bool:
        """Return whether a shard was not sent and never will be."""
        return any(sent.is_closed for sent, _ in self.attempts(round_index, shard))

    def write_refused(self, round_index: int, shard: int, record: Refused) -> None:
        """Say that the API gave an attempt a definite no."""
        self.folder.write(names.refused_path(round_index, shard, record.attempt), to_json(record))

    def write_without_credit(self, round_index: int, try_number: int) -> None:
        """Say that a try of the load stopped after a round, since the account had no credit left."""
        record = WithoutCredit(try_number=try_number)
        self.folder.write(names.without_credit_path(round_index), to_json(record))

    def try_without_credit(self, round_index: int) -> int | None:
        """Return the try that stopped after a round for lack of credit, or ``None``."""
        record = self._read(names.without_credit_path(round_index), WithoutCredit)
        return None if record is None else record.try_number

    def write_cap(self, max_cost_usd: Decimal | None) -> None:
        """Say what the submission may cost at most, if anything; what was said before no longer counts."""
        if max_cost_usd is None:
            self.folder.remove(names.CAP)
        else:
            self.folder.write(names.CAP, to_json(Cap(max_cost_usd=f"{max_cost_usd:f}")))

    def read_cap(self) -> Decimal | None:
        """Return what the submission may cost at most, or ``None`` where nothing was said."""
        record = self._read(names.CAP, Cap)
        return None if record is None else Decimal(record.max_cost_usd)

    def write_estimate(self, record: Estimated) -> None:
        """Say what the submission is thought to come to."""
        self.folder.write(names.ESTIMATE, to_json(record))

    def read_estimate(self) -> Estimated | None:
        """Return what the submission was thought to come to, or ``None`` where it was not estimated."""
        return self._read(names.ESTIMATE, Estimated)

    def write_pilot(self, result: PilotResult) -> None:
        """Say what became of the pilot."""
        self.folder.write(names.PILOT, to_json(result))

    def read_pilot(self) -> PilotResult | None:
        """Return what became of the pilot, or ``None`` where it was not judged."""
        return self._read(names.PILOT, PilotResult)

    def mark_canceled(self) -> None:
        """Say that a person has canceled the submission: what was canceled is not sent again."""
        self.folder.write(names.CANCELED, b"{}\n")

    def is_canceled(self) -> bool:
        """Return whether a person has canceled the submission."""
        return self.folder.exists(names.CANCELED)

    def read_batch(self, round_index: int, shard: int) -> BatchRecord | None:
        """Return the batch of a shard, or ``None`` where it is not known."""
        return self._read(names.batch_path(round_index, shard), BatchRecord)

    def write_batch(self, round_index: int, shard: int, record: BatchRecord) -> None:
        """Say which batch a shard is, or what has become of it."""
        self.folder.write(names.batch_path(round_index, shard), to_json(record))

    def batches(self, record: Round) -> Iterator[tuple[ShardRecord, BatchRecord | None]]:
        """Yield each shard of a round with its batch."""
        for shard in record.shards:
            yield shard, self.read_batch(record.index, shard.index)

    def sent_shards(self, record: Round) -> list[ShardRecord]:
        """Return the shards of a later round that are batches; those that were closed are none."""
        return [shard for shard, batch in self.batches(record) if batch is not None]

    def read_keys(self, round_index: int, shard: int, identity: str) -> pa.Table:
        """
        Return a shard's keys.

        :raises ManifestUnreadableError: They are not there.
        """
        import pyarrow.parquet as pq

        path = names.keys_path(round_index, shard, identity)
        try:
            with self.folder.open(path) as file:
                return pq.ParquetFile(file).read(use_threads=False)
        except FileNotFoundError as error:
            raise ManifestUnreadableError(
                f"{self.uri}/{path} is not there, so the answers cannot be joined with their rows. The "
                "batch is left alone."
            ) from error

    def has_results(self, round_index: int, shard: int) -> bool:
        """Return whether a shard's results were landed whole."""
        return self.folder.exists(names.results_path(round_index, shard))

    def read_receipt(self) -> Receipt | None:
        """Return the receipt, or ``None`` where nothing was published."""
        return self._read(names.RECEIPT, Receipt)

    def write_receipt(self, receipt: Receipt) -> None:
        """Say what the submission came to: the last file of the folder."""
        self.folder.write(names.RECEIPT, to_json(receipt))

    def _read(self, path: str, kind: type[Record]) -> Record | None:
        data = self.folder.read(path)
        return None if data is None else from_json(data, kind, where=f"{self.uri}/{path}")


def find_manifests(root: Folder, below: str = "**") -> Iterator[ManifestFolder]:
    """
    Yield every folder with a plan under a staging root, in the order of paths.

    :param below: Pattern of the path between the root and the plan.
    """
    root.fs.invalidate_cache()
    for path in sorted(root.fs.glob(f"{glob.escape(root.root)}/{below}/{names.PLAN}")):
        inside = str(path)[len(root.root) :].strip("/").removesuffix(names.PLAN).rstrip("/")
        yield ManifestFolder(root.child(inside))


def require_plan(folder: ManifestFolder) -> tuple[Plan, Round]:
    """
    Return the plan and the first round of a folder that a submit task has finished.

    :raises ManifestUnreadableError: One of them is not there.
    """
    plan = folder.read_plan()
    first_round = folder.read_round(0, plan.identity) if plan is not None else None
    if plan is None or first_round is None:
        raise ManifestUnreadableError(
            f"{folder.uri} holds no finished snapshot: is it the manifest of a submit task?"
        )
    return plan, first_round
