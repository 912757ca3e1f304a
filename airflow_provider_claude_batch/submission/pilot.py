"""
The pilot: the first rows go out as a batch of their own, and the rest only if they were answered well.

Its rows are part of the result and are not paid for twice. It writes the prompt cache that the rest reads.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.deadline import priming_seconds
from airflow_provider_claude_batch.core.manifest import PilotResult
from airflow_provider_claude_batch.core.tally import Tally
from airflow_provider_claude_batch.errors import PilotFailedError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.land_taken import land_batch
from airflow_provider_claude_batch.submission.pauses import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_claude_batch.core.gate import Gate
    from airflow_provider_claude_batch.core.manifest import BatchRecord, Plan, Round, ShardRecord
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
    from airflow_provider_claude_batch.submission.search import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """
    The pilot of one generation: shard 0 of its first round.

    :param gate: What its rows must pass.
    :param on_answers: Is told the output tokens of each of its usable answers, once they have passed.
    :param clock: Returns the time.
    """

    folder: ManifestFolder
    plan: Plan
    hook: ClaudeBatchHook
    gate: Gate
    on_answers: Callable[[Sequence[int]], None]
    clock: Clock = lambda: datetime.now(UTC)

    def admit(self, record: Round, shard: ShardRecord) -> Pause | None:
        """
        Say whether a shard may go out now, or that the pilot has to end first.

        :raises PilotFailedError: Too many of the pilot's rows have no usable answer.
        """
        if not self.plan.pilot_requests or record.index or not shard.index:
            return None
        pilot = record.shards[0]
        result = self.folder.read_pilot()
        if result is None and pilot.requests:
            batch = self.folder.read_batch(0, 0)
            if batch is None or self.hook.retrieve_batch(batch.batch_id).processing_status != "ended":
                return self._wait_for(batch)
            if self.plan.primes_cache:
                return None
            if not self.folder.has_results(0, 0):
                land_batch(self.folder, self.plan, record, pilot, batch, hook=self.hook)
            result = self._judge(pilot)
        if result is not None and result.refusal is not None:
            raise PilotFailedError(
                f"The pilot of {pilot.requests} requests: {result.refusal}. The rest was not sent. The pilot "
                "is billed; its answers stay in the manifest folder, and a clear of the task takes those to "
                "requests that are the same then."
            )
        return None

    def _wait_for(self, batch: BatchRecord | None) -> Pause | None:
        """Wait for the pilot's end; for one that only writes the cache no longer than a deadline allows."""
        pause = Pause.for_running_batches([batch.batch_id] if batch is not None else [])
        pause = replace(pause, holds_the_rest=True)
        if not self.plan.primes_cache or self.plan.deadline is None:
            return pause
        seconds = priming_seconds(
            begun_at=self.plan.created_at, deadline=self.plan.deadline, now=self.clock()
        )
        if seconds <= 0:
            return None
        # Counted from now on, not from the creation of the batch.
        return replace(pause, seconds=min(pause.seconds, seconds), is_for_results=False)

    def _judge(self, pilot: ShardRecord) -> PilotResult:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        tally, answers = Tally(tuple(self.plan.settings.key)), array("q")
        with self.folder.folder.open(names.results_path(0, pilot.index)) as file:
            for rows in pq.ParquetFile(file).iter_batches():
                tally.add(rows)
                usable = rows.filter(pc.equal(rows.column("claude_outcome"), "ok"))
                answers.extend(usable.column("claude_output_tokens").to_pylist())
        result = PilotResult(
            requests=pilot.requests,
            refusal=self.gate.refusal(tally),
            outcomes=dict(tally.outcomes),
            tokens=dict(tally.tokens),
            cost_usd=None if tally.unpriced else f"{tally.cost_usd:f}",
        )
        self.folder.write_pilot(result)
        if result.refusal is None:
            self.on_answers(answers)
        return result
