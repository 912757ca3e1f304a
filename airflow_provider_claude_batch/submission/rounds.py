"""
The rounds of a submission, from batches that run to rows that are final: land, ask again, land again.

Each round goes through the same protocol as the first. All that is done is on record, so that calling it
again goes on where it stopped; nobody sleeps here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.check_request import max_tokens_limit
from airflow_provider_claude_batch.errors import (
    CreateRefusedError,
    PartlySentError,
    SubmissionUncertainError,
)
from airflow_provider_claude_batch.hooks.model_facts import ModelCatalog
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.deployment import shard_cutter
from airflow_provider_claude_batch.submission.land_taken import land, land_batch, mark_landed
from airflow_provider_claude_batch.submission.next_round import RoundMaking, RoundRules, make_round
from airflow_provider_claude_batch.submission.pauses import Pause, merge_pauses
from airflow_provider_claude_batch.submission.retries import a_retry_can_help
from airflow_provider_claude_batch.submission.running import is_answered, look_at_batches
from airflow_provider_claude_batch.submission.search import Search
from airflow_provider_claude_batch.submission.send import SendRules, SentShard, send_shards
from airflow_provider_claude_batch.submission.settle import settle_round

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_claude_batch.core.manifest import BatchRecord, Plan, Round, ShardRecord
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.budget import Budget
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.rereads import Rereads
    from airflow_provider_claude_batch.submission.search import Clock


@dataclass(frozen=True, slots=True)
class LandedShard:
    """
    A shard whose results are in the manifest folder.

    :param batch: Its batch; ``None`` where every row of it was rejected.
    :param is_new: They were landed by this call.
    """

    round_index: int
    shard: ShardRecord
    batch: BatchRecord | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class RoundBegun:
    """
    Rows go again.

    :param index: Of the round; the submit task's is 0.
    :param by_outcome: Rows, by what they were before.
    """

    index: int
    requests: int
    by_outcome: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RoundsStopped:
    """
    Rows could go again, and do not.

    :param why: A sentence for the log and for the gate's error.
    """

    why: str


Step = LandedShard | RoundBegun | SentShard | RoundsStopped | Pause


@dataclass(slots=True, kw_only=True)
class Rounds:
    """
    The rounds of one generation.

    :param max_rounds: In all, the submit task's among them.
    :param grow_max_tokens: What ``max_tokens`` of a cut answer is multiplied by; 1 for not asking again.
    :param deadline_margin: Seconds before the plan's deadline from which on no round begins.
    :param try_number: Of the task instance, for the record.
    :param budget: Where there is a cap.
    :param rereads: How patient to be with results that do not come whole.
    """

    folder: ManifestFolder
    plan: Plan
    hook: ClaudeBatchHook
    rules: SendRules
    max_rounds: int
    grow_max_tokens: float
    deadline_margin: float
    try_number: int
    clock: Clock
    budget: Budget | None = None
    rereads: Rereads | None = None

    def finish(self) -> Iterator[Step]:
        """
        Land what has ended and send what can improve, until nothing is left to do or a pause is needed.

        A pause is the last thing yielded: after it, call again. Without one, every row is final.

        :raises CreateRefusedError: A shard of a round did not go out, for a reason that passes by itself.
        :raises ResultsIncompleteError: Results do not agree with what was sent.
        """
        while True:
            rounds = self.folder.rounds(self.plan)
            for record in rounds:
                for step in self._finish_round(record):
                    yield step
                    if isinstance(step, Pause):
                        return
            following = self._next(rounds)
            if following is None:
                return
            yield following
            if isinstance(following, RoundsStopped):
                return

    def _finish_round(self, record: Round) -> Iterator[Step]:
        if record.index:
            for step in self._send(record):
                yield step
                if isinstance(step, Pause):
                    return
        # A later round may have been closed before all of it was sent.
        shards = [
            (shard, batch)
            for shard, batch in self.folder.batches(record)
            if batch is not None or not record.index
        ]
        _check_known(self.folder, shards)
        not_landed = {
            batch.batch_id: batch.created_at
            for shard, batch in shards
            if batch and not is_answered(self.folder, record, shard)
        }
        running = look_at_batches(self.hook, not_landed).running
        for shard, batch in shards:
            if batch is None or batch.batch_id not in running:
                yield self._land(record, shard, batch)
        if running:
            yield Pause.for_running_batches(running)

    def _send(self, record: Round) -> Iterator[Step]:
        """Send what was not sent of a later round, or close it where it is not to be sent any more."""
        unsent = [shard for shard, batch in self.folder.batches(record) if batch is None]
        closed = [shard for shard in unsent if self.folder.is_closed(record.index, shard.index)]
        if len(closed) == len(unsent):
            return
        why = "a part of the round was closed" if closed else self._why_not()
        if why is not None:
            yield self._close(record, why)
            return
        steps = send_shards(
            self.folder,
            self.plan,
            record,
            self.hook,
            rules=self.rules,
            try_number=self.try_number,
            clock=self.clock,
            admit=self.budget.admit if self.budget is not None else None,
        )
        try:
            yield from (step for step in steps if isinstance(step, Pause) or step.is_new)
        except (CreateRefusedError, PartlySentError) as error:
            if a_retry_can_help(error):
                raise
            yield self._close(record, str(error))

    def _close(self, record: Round, why: str) -> RoundsStopped | Pause:
        """Make sure that what was not sent of a round never is; what may have been sent is waited for."""
        search = Search(
            folder=self.folder,
            plan=self.plan,
            record=record,
            hook=self.hook,
            grace=self.rules.grace,
            clock=self.clock,
        )
        pauses = list(settle_round(search, try_number=self.try_number))
        return merge_pauses(pauses) if pauses else RoundsStopped(why)

    def _why_not(self) -> str | None:
        """Say why nothing more is to be sent, or ``None``."""
        if self.folder.is_canceled():
            return "the submission was canceled with claude-batch cancel"
        deadline = self.plan.deadline
        if deadline is not None and (deadline - self.clock()).total_seconds() <= self.deadline_margin:
            return f"answers are needed by {deadline.isoformat()}"
        return None

    def _land(self, record: Round, shard: ShardRecord, batch: BatchRecord | None) -> LandedShard:
        is_landed = self.folder.has_results(record.index, shard.index)
        if batch is None:
            if not is_landed:
                land(self.folder, self.plan, record, shard, self.hook)
            return LandedShard(record.index, shard, None, is_new=False)
        if not is_landed:
            landed = land_batch(
                self.folder, self.plan, record, shard, batch, hook=self.hook, rereads=self.rereads
            )
            return LandedShard(record.index, shard, landed, is_new=True)
        if batch.loaded_at is None:
            # Who landed it was stopped before it said so. The results are whole, and the batch may be gone.
            batch = mark_landed(self.folder, record, shard, batch, hook=self.hook)
        return LandedShard(record.index, shard, batch, is_new=False)

    def _next(self, rounds: list[Round]) -> RoundBegun | RoundsStopped | None:
        if len(rounds) >= self.max_rounds or self.folder.folder.exists(names.RECEIPT):
            return None
        if any(self.folder.is_closed(rounds[-1].index, shard.index) for shard in rounds[-1].shards):
            return None
        if (why := self._why_not()) is not None:
            return RoundsStopped(why)
        stopped_by = self.folder.try_without_credit(rounds[-1].index)
        rules = RoundRules(
            grow_max_tokens=self.grow_max_tokens,
            model_limit=self._model_limit(),
            usd_left=None if self.budget is None else self.budget.left(),
            # A person has cleared the task since, which the message asks for once credit was bought.
            credit_is_back=stopped_by is not None and stopped_by < self.try_number,
        )
        cutter = shard_cutter(f"{self.plan.identity}-{len(rounds)}")
        made = make_round(self.folder, self.plan, rounds, rules, cutter=cutter)
        if made.no_credit:
            self.folder.write_without_credit(rounds[-1].index, self.try_number)
        return _to_step(made)

    def _model_limit(self) -> Callable[[str], int | None]:
        catalog = ModelCatalog(self.hook.client)

        def limit(model: str) -> int | None:
            catalog.ask(model)
            facts = catalog.facts.get(model)
            return None if facts is None else max_tokens_limit(facts, betas=self.plan.settings.betas)

        return limit


def _to_step(made: RoundMaking) -> RoundBegun | RoundsStopped | None:
    if made.no_credit:
        return RoundsStopped(
            f"the account has no credit left, for which {made.no_credit} requests were refused and not "
            "billed: buy credit, then clear the task that loads"
        )
    if made.too_dear is not None:
        return RoundsStopped(made.too_dear)
    if made.record is not None:
        return RoundBegun(made.record.index, sum(made.by_outcome.values()), made.by_outcome)
    if made.without_request:
        return RoundsStopped(f"the texts of {made.without_request} requests were removed by retention")
    if made.by_outcome:
        return RoundsStopped("a later generation of the submission sends what is left")
    return None


def _check_known(folder: ManifestFolder, shards: list[tuple[ShardRecord, BatchRecord | None]]) -> None:
    for shard, batch in shards:
        if batch is None and (shard.requests or shard.taken):
            raise SubmissionUncertainError(
                f"Shard {shard.index} of {folder.uri} has no batch on record: run the submit task again "
                "first. Nothing is published."
            )
