"""
The search for the batch of a shard that was sent and whose answer is lost: look, prove, decide. Never pays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.manifest import BatchRecord
from airflow_provider_claude_batch.core.resume_decision import decide_resume
from airflow_provider_claude_batch.errors import (
    GenerationClosedError,
    OtherAccountError,
    SubmissionUncertainError,
)
from airflow_provider_claude_batch.submission.proof import prove

if TYPE_CHECKING:
    from airflow_provider_claude_batch.core.manifest import Plan, Round, ShardRecord
    from airflow_provider_claude_batch.core.resume_decision import Proof, ResumeDecision
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.hooks.listing import Account, Listing
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder


Clock = Callable[[], datetime]

#: How far before a create its list is read.
_BEFORE = timedelta(hours=3)


@dataclass(slots=True, kw_only=True)
class Search:
    """
    The search for the lost batches of one generation.

    :param grace: How long after an attempt its batch may first be seen in the list.
    :param clock: Returns the time, with a zone.
    """

    folder: ManifestFolder
    plan: Plan
    record: Round
    hook: ClaudeBatchHook
    grace: timedelta
    clock: Clock
    _ahead: timedelta = field(default=timedelta(0), init=False)
    _claimed: dict[int, str] = field(default_factory=dict, init=False)
    _proofs: dict[tuple[int, str], Proof] = field(default_factory=dict, init=False)

    def api_now(self) -> datetime:
        """Return the time by the API's clock, as the last look told it."""
        return self.clock() + self._ahead

    def decide(self, shard: ShardRecord) -> tuple[ResumeDecision, Listing]:
        """
        Find out what to do about a shard that has no batch on record, and adopt the batch that proves ours.

        :return: What is left to do, ``send``, ``wait`` or ``adopt`` where it is done, and the look at the
            list that says so.
        :raises SubmissionUncertainError: Only a person can tell.
        :raises GenerationClosedError: A later generation has been opened.
        :raises OtherAccountError: The key is of another workspace than the one that the plan was made with.
        """
        attempts = self.folder.attempts(self.record.index, shard.index)
        open_since = [sent.looked_at for sent, refused in attempts if refused is None]
        # A cursor is older than what is looked for, and its place in the list counts more than any time.
        listing = self._look(back_to=min(open_since) - _BEFORE if open_since else None)
        while True:
            decision = decide_resume(
                attempts,
                listed=listing.batches,
                proofs={batch: proof for (of, batch), proof in self._proofs.items() if of == shard.index},
                # Reads a record of every shard that has no batch, and only a search asks for it.
                claimed=self.claimed() if open_since else (),
                now=listing.now,
                grace=self.grace,
            )
            if decision.action == "prove":
                for batch_id in decision.batch_ids:
                    self._prove(shard, batch_id)
                continue
            if decision.action == "adopt":
                self._adopt(shard, decision.batch_ids[0], listing)
            if decision.action == "refuse":
                raise self._cannot_tell(shard, decision.batch_ids)
            if decision.action == "closed":
                raise GenerationClosedError(
                    f"{self.folder.uri} is closed: the task was cleared or its run made again, and a later "
                    "generation sends what is left. Nothing was sent here."
                )
            return decision, listing

    def check_account(self) -> None:
        """
        Make sure that the key is of the workspace that the plan was made with.

        :raises OtherAccountError: It is not.
        """
        self._look(back_to=None)

    def claimed(self) -> set[str]:
        """Return the batches that are known to be a shard's."""
        for shard in self.record.shards:
            if shard.index not in self._claimed:
                batch = self.folder.read_batch(self.record.index, shard.index)
                if batch is not None:
                    self._claimed[shard.index] = batch.batch_id
        return set(self._claimed.values())

    def _look(self, *, back_to: datetime | None) -> Listing:
        listing = self.hook.list_batches(back_to=back_to)
        self._ahead = listing.now - self.clock()
        check_account(self.plan, listing.account, where=self.folder.uri)
        return listing

    def _prove(self, shard: ShardRecord, batch_id: str) -> None:
        self._proofs[shard.index, batch_id] = prove(self.hook, self.folder, self.record, shard, batch_id)

    def _adopt(self, shard: ShardRecord, batch_id: str, listing: Listing) -> None:
        created_at = next(batch.created_at for batch in listing.batches if batch.batch_id == batch_id)
        adopted = BatchRecord(batch_id=batch_id, known_by="proven", created_at=created_at)
        self.folder.write_batch(self.record.index, shard.index, adopted)

    def _cannot_tell(self, shard: ShardRecord, batch_ids: tuple[str, ...]) -> SubmissionUncertainError:
        return SubmissionUncertainError(
            f"Shard {shard.index} ({shard.requests} requests) was sent and its answer was lost. It may be "
            f"{' or '.join(batch_ids)}, whose results can no longer be read. It is not sent again. Look into "
            f"the Console; claude-batch adopt {self.folder.uri} {shard.index} BATCH_ID --unproven says that "
            "it is one."
        )


def check_account(plan: Plan, account: Account, *, where: str) -> None:
    """
    Refuse another workspace: what was sent with the plan's key cannot be seen with this one.

    :param where: URI of the manifest folder.
    :raises OtherAccountError: The API names another workspace or organization than the plan.
    """
    if difference := plan.account_differs_from(account.organization_id, account.workspace_id):
        raise OtherAccountError(
            f"{where} was begun in {difference}, which the connection's key is of now and where its batches "
            "cannot be seen. Nothing is sent; what was sent goes on. Give the connection a key of the first "
            "one, then retry."
        )
