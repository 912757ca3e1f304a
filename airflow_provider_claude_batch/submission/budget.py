"""
The cap: what is billed and what may still be, against what a submission may cost at most.

For what is in flight the worst case counts; a batch that has ended is landed, and its real cost makes room.
Answers that are taken from an earlier generation count like own ones, unless another receipt has their cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import CostCapError, CostCapReachedError, ResultsIncompleteError
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.land_taken import is_paid_elsewhere, land, land_batch
from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder
from airflow_provider_claude_batch.submission.pauses import Pause
from airflow_provider_claude_batch.submission.pricing import price_list
from airflow_provider_claude_batch.submission.request_lines import request_lines
from airflow_provider_claude_batch.submission.running import is_answered, look_at_batches
from airflow_provider_claude_batch.submission.shard_writer import PICOS, worst_picos

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_claude_batch.core.manifest import BatchRecord, Plan, Round, ShardRecord
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook


@dataclass(frozen=True, slots=True)
class Spent:
    """
    Dollars of one generation, as its receipt will tell them.

    :param billed: For results that are landed.
    :param in_flight: At most, for what was sent and is not landed.
    :param running: Batches of it.
    """

    billed: Decimal
    in_flight: Decimal
    running: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Budget:
    """
    The cap of one generation.

    :param cap_usd: The most that it may cost.
    """

    folder: ManifestFolder
    plan: Plan
    hook: ClaudeBatchHook
    cap_usd: Decimal
    _billed: dict[tuple[int, int], Decimal] = field(default_factory=dict, init=False)
    _worst: dict[tuple[int, int], Decimal] = field(default_factory=dict, init=False)

    def admit(self, record: Round, shard: ShardRecord) -> Pause | None:
        """
        Say whether a shard may go out now, or what to wait for.

        :raises CostCapError: It can cost more than the cap allows, and nothing was sent.
        :raises CostCapReachedError: The same, and others were sent.
        :raises ResultsIncompleteError: What a batch cost cannot be known: its results cannot be read.
        """
        needs = self.worst_case(record, shard)
        # Who asks has settled what became of its earlier attempts: none of them is in flight.
        spent = self.spent(besides=(record.index, shard.index))
        if spent.billed + spent.in_flight + needs <= self.cap_usd:
            return None
        if self._land_what_has_ended():
            spent = self.spent(besides=(record.index, shard.index))
            if spent.billed + spent.in_flight + needs <= self.cap_usd:
                return None
        asks = f"shard {shard.index} may cost ${needs:.2f}, and max_cost_usd is ${self.cap_usd:.2f}"
        if spent.in_flight:
            return Pause.for_the_cap(
                f"${spent.billed:.2f} are billed, up to ${spent.in_flight:.2f} are in flight, {asks}",
                batch_ids=spent.running,
            )
        short = f"${spent.billed + needs - self.cap_usd:.2f} short"
        if spent.billed or self._is_begun():
            raise CostCapReachedError(
                f"${spent.billed:.2f} are billed, {asks}: {short}. The rest is not sent; what is answered "
                "stays in the manifest folder. With a higher max_cost_usd, a clear of the task sends what is "
                "left."
            )
        raise CostCapError(f"{asks[0].upper()}{asks[1:]}: {short}. Nothing was sent.")

    def left(self) -> Decimal:
        """Return the dollars that are neither billed nor in flight."""
        spent = self.spent()
        return self.cap_usd - spent.billed - spent.in_flight

    def spent(self, *, besides: tuple[int, int] | None = None) -> Spent:
        """
        Add up what is on record.

        :param besides: Round and number of a shard that is left out.
        """
        billed, in_flight, running = Decimal(0), Decimal(0), []
        for record, shard, batch in self._paid_here():
            if (record.index, shard.index) == besides:
                continue
            cost = self._cost(record, shard)
            if cost is not None:
                billed += cost
            elif batch is not None:
                running.append(batch.batch_id)
                in_flight += self.worst_case(record, shard)
            elif self._may_be_sent(record, shard):
                in_flight += self.worst_case(record, shard)
        return Spent(billed, in_flight, tuple(running))

    def worst_case(self, record: Round, shard: ShardRecord) -> Decimal:
        """
        Return the most that a shard can cost; reads its requests where nothing on record says it.

        Of one whose answers are taken, that of all requests that were sent with them.

        :raises CostCapError: There is no bound.
        """
        if shard.worst_case_usd is not None:
            return Decimal(shard.worst_case_usd)
        key = (record.index, shard.index)
        if key not in self._worst:
            prices = price_list(self.plan.created_at)
            lines = request_lines(self.folder, record, shard)
            picos = sum(worst_picos(b'{"params":' + params + b"}", prices) for _, params in lines)
            self._worst[key] = Decimal(picos) / PICOS
        return self._worst[key]

    def _paid_here(self) -> Iterator[tuple[Round, ShardRecord, BatchRecord | None]]:
        """Yield each shard that the receipt will tell the cost of, with its batch."""
        for record in self.folder.rounds(self.plan):
            for shard, batch in self.folder.batches(record):
                if shard.taken is None:
                    if shard.requests:
                        yield record, shard, batch
                    continue
                source = ManifestFolder.at(shard.taken.manifest)
                if not is_paid_elsewhere(self.folder, source):
                    there = source.read_batch(shard.taken.round_index, shard.taken.shard_index)
                    yield record, shard, batch or there

    def _cost(self, record: Round, shard: ShardRecord) -> Decimal | None:
        """Return what the results of a shard were billed, or ``None`` where they are not landed."""
        key = (record.index, shard.index)
        if key not in self._billed and is_answered(self.folder, record, shard):
            if not self.folder.has_results(*key):
                land(self.folder, self.plan, record, shard, self.hook)
            self._billed[key] = self._read_cost(record, shard)
        return self._billed.get(key)

    def _read_cost(self, record: Round, shard: ShardRecord) -> Decimal:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        with self.folder.folder.open(names.results_path(record.index, shard.index)) as file:
            costs = pq.read_table(file, columns=["claude_cost_usd"]).column(0)
        if costs.null_count:
            # The model that answered has no known price.
            return self.worst_case(record, shard)
        total = Decimal(pc.sum(costs, min_count=0).as_py())
        if not record.index:
            return total
        with self.folder.folder.open(names.keys_path(record.index, shard.index, record.identity)) as file:
            before = pq.read_table(file, columns=["claude_prior_cost_usd"]).column(0)
        return total - Decimal(pc.sum(before, min_count=0).as_py())

    def _may_be_sent(self, record: Round, shard: ShardRecord) -> bool:
        attempts = self.folder.attempts(record.index, shard.index)
        return any(refused is None and not sent.is_closed for sent, refused in attempts)

    def _is_begun(self) -> bool:
        return any(
            batch is not None and shard.taken is None
            for record in self.folder.rounds(self.plan)
            for shard, batch in self.folder.batches(record)
        )

    def _land_what_has_ended(self) -> bool:
        """Land the results of batches that have ended; return whether there were any."""
        waiting = [
            (record, shard, batch)
            for record, shard, batch in self._paid_here()
            if batch is not None and self._cost(record, shard) is None
        ]
        seen = look_at_batches(self.hook, {batch.batch_id: batch.created_at for _, _, batch in waiting})
        if seen.gone:
            raise ResultsIncompleteError(
                f"Batch {seen.gone[0]} is neither listed nor found, so nothing says what it cost and "
                "max_cost_usd cannot be kept. Nothing more is sent; a retry looks again. If it was deleted, "
                "a clear of the task without max_cost_usd sends what is left."
            )
        landed = False
        for record, shard, batch in waiting:
            if batch.batch_id not in seen.running:
                land_batch(self.folder, self.plan, record, shard, batch, hook=self.hook)
                landed = True
        return landed
