"""Everything on record of one submission: no prompts, no rows, no answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.cli.folders import TaskName, path_to_name
from airflow_provider_claude_batch.errors import ManifestUnreadableError
from airflow_provider_claude_batch.submission.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_claude_batch.core.manifest import (
        BatchRecord,
        Plan,
        Receipt,
        Refused,
        Sent,
        ShardRecord,
    )
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

_GENERATION = re.compile(r"g\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFacts:
    """
    One shard of one round.

    :param attempts: To send it, from the first, each with the definite no that it got, if any.
    :param batch: Which batch it is, where that is known.
    :param has_results: Its results are in the manifest folder.
    """

    round_index: int
    shard: ShardRecord
    attempts: list[tuple[Sent, Refused | None]]
    batch: BatchRecord | None
    has_results: bool

    @property
    def name(self) -> str:
        """Return what people call it: its number, and its round where that is not the submit task's."""
        round_name = f" of round {self.round_index}" if self.round_index else ""
        return f"shard {self.shard.index}{round_name}"

    @property
    def title(self) -> str:
        """Return the same for the beginning of a line."""
        return self.name.capitalize()

    @property
    def is_unanswered(self) -> bool:
        """It may be a batch, and which one is not known."""
        return self.batch is None and any(
            refused is None and not sent.is_closed for sent, refused in self.attempts
        )

    @property
    def is_closed(self) -> bool:
        """No batch of it exists, and none ever will: a later generation has taken the submission over."""
        return self.batch is None and any(sent.is_closed for sent, _ in self.attempts)

    @property
    def is_unsent(self) -> bool:
        """It is to be sent, and no batch of it exists."""
        is_to_be_sent = bool(self.shard.requests) and self.batch is None
        return is_to_be_sent and not self.is_unanswered and not self.is_closed

    @property
    def last_open(self) -> Sent | None:
        """Return the last attempt that got no definite no."""
        return max(
            (sent for sent, refused in self.attempts if refused is None and not sent.is_closed),
            key=lambda sent: sent.sent_at,
            default=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionFacts:
    """
    One generation of one submission.

    :param newest_generation: Number of the newest, on which a retry works.
    """

    name: TaskName
    manifest: str
    newest_generation: int
    plan: Plan
    shards: list[ShardFacts]
    receipt: Receipt | None

    @property
    def earliest_open(self) -> datetime | None:
        """Return when the first attempt was sent whose batch is to be looked for."""
        return min(
            (sent.sent_at for shard in self.unanswered for sent, refused in shard.attempts if not refused),
            default=None,
        )

    @property
    def unanswered(self) -> list[ShardFacts]:
        """Return the shards that may be a batch, and which one is not known."""
        return [shard for shard in self.shards if shard.is_unanswered]

    @property
    def unsent(self) -> list[ShardFacts]:
        """Return the shards that are to be sent and that no batch exists of."""
        return [shard for shard in self.shards if shard.is_unsent]

    @property
    def known(self) -> dict[str, ShardFacts]:
        """Return the shards whose batch is known, by its id."""
        return {shard.batch.batch_id: shard for shard in self.shards if shard.batch is not None}


def read_facts(folder: ManifestFolder) -> SubmissionFacts:
    """
    Read what is on record of a submission.

    :raises ManifestUnreadableError: Nothing is, or a record cannot be read.
    """
    plan = folder.read_plan()
    if plan is None:
        raise ManifestUnreadableError(
            f"{folder.uri} holds no finished snapshot: either it is no manifest folder, or the submit task "
            "is still reading its source or died there. Nothing was sent; a retry reads the source again."
        )
    name = path_to_name(folder.uri)
    return SubmissionFacts(
        name=name,
        manifest=folder.uri,
        newest_generation=_newest_generation(folder, name.generation),
        plan=plan,
        shards=list(_shards(folder, plan)),
        receipt=folder.read_receipt(),
    )


def _shards(folder: ManifestFolder, plan: Plan) -> Iterator[ShardFacts]:
    for record in folder.rounds(plan):
        for shard, batch in folder.batches(record):
            yield ShardFacts(
                round_index=record.index,
                shard=shard,
                attempts=folder.attempts(record.index, shard.index),
                batch=batch,
                has_results=folder.has_results(record.index, shard.index),
            )


def _newest_generation(folder: ManifestFolder, generation: int) -> int:
    inside = folder.folder
    parent = Folder(inside.fs, inside.root.rpartition("/")[0], inside.uri.rpartition("/")[0])
    return max([generation, *(int(name[1:]) for name in parent.names() if _GENERATION.fullmatch(name))])
