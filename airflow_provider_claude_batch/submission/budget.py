"""
The cap: what is billed and what may still be, against what a submission may cost at most.

For what is in flight the worst case counts; a batch that has ended is landed, and its real cost makes room.
Answers that are taken from an earlier generation count like own ones, unless another receipt has their cost.

All of it is read from the records once, then only that of shards that have had their turn since: a few looks
for each shard, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.estimate import to_usd
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
    from collections.abc import Collection

    from airflow_provider_claude_batch.core.manifest import BatchRecord, Plan, Round, ShardRecord
    from airflow_provider_claude_batch.hooks.claude_batch import ClaudeBatchHook

#: Numbers of a round and of a shard in it.
_Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Spent:
    """
    Dollars of one generation, as its receipt will tell them.

    :param billed: For results that are landed; at most, where requests have no line in them that can be read.
    :param in_flight: At most, for what was sent and is not landed.
    :param running: Batches of it.
    """

    billed: Decimal
    in_flight: Decimal
    running: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Flight:
    """A shard that was sent, or may have been, and is not landed."""

    record: Round
    shard: ShardRecord
    batch: BatchRecord | None
    worst_usd: Decimal


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
    _billed: dict[_Place, Decimal] = field(default_factory=dict, init=False)
    _in_flight: dict[_Place, _Flight] = field(default_factory=dict, init=False)
    _worst: dict[_Place, Decimal] = field(default_factory=dict, init=False)
    _next: _Place = field(default=(-1, 0), init=False)

    def admit(self, record: Round, shard: ShardRecord) -> Pause | None:
        """
        Say whether a shard may go out now, or what to wait for.

        :raises CostCapError: It can cost more than the cap allows, and nothing was sent.
        :raises CostCapReachedError: The same, and others were sent.
        :raises ResultsIncompleteError: What a batch cost cannot be known: its results cannot be read.
        """
        needs = self.worst_case(record, shard)
        self._look_before(record, shard)
        # Who asks has settled what became of its earlier attempts: none of them is in flight.
        spent = self._spent(besides=(record.index, shard.index))
        if spent.billed + spent.in_flight + needs <= self.cap_usd:
            return None
        self._land_what_has_ended()
        spent = self._spent(besides=(record.index, shard.index))
        if spent.billed + spent.in_flight + needs <= self.cap_usd:
            return None
        asks = f"the next shard may cost {to_usd(needs)}, and max_cost_usd is {to_usd(self.cap_usd)}"
        if spent.in_flight:
            return Pause.for_the_cap(
                f"{to_usd(spent.billed)} are billed, up to {to_usd(spent.in_flight)} are in flight, {asks}",
                batch_ids=spent.running,
            )
        short = f"{to_usd(spent.billed + needs - self.cap_usd)} short"
        if spent.billed or self._is_begun():
            raise CostCapReachedError(
                f"{to_usd(spent.billed)} are billed, {asks}: {short}. The rest is not sent; what is answered "
                "stays in the manifest folder. With a higher max_cost_usd, a clear of the task sends what is "
                "left."
            )
        raise CostCapError(f"{asks[0].upper()}{asks[1:]}: {short}. Nothing was sent.")

    def left(self) -> Decimal:
        """Return the dollars that are neither billed nor in flight."""
        self._look_at_all()
        spent = self._spent()
        return self.cap_usd - spent.billed - spent.in_flight

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
            self._worst[key] = self._worst_of(record, shard, None)
        return self._worst[key]

    def _worst_of(self, record: Round, shard: ShardRecord, custom_ids: Collection[str] | None) -> Decimal:
        """
        Return the most that requests of a shard can cost; reads all of them.

        :param custom_ids: Which; ``None`` for all.
        """
        prices = price_list(self.plan.created_at)
        picos = sum(
            worst_picos(b'{"params":' + params + b"}", prices)
            for custom_id, params in request_lines(self.folder, record, shard)
            if custom_ids is None or custom_id in custom_ids
        )
        return Decimal(picos) / PICOS

    def _spent(self, *, besides: _Place | None = None) -> Spent:
        """
        Add up what was seen.

        :param besides: Round and number of a shard that is left out.
        """
        flying = [flight for place, flight in self._in_flight.items() if place != besides]
        return Spent(
            billed=sum((usd for place, usd in self._billed.items() if place != besides), Decimal(0)),
            in_flight=sum((flight.worst_usd for flight in flying), Decimal(0)),
            running=tuple(flight.batch.batch_id for flight in flying if flight.batch is not None),
        )

    def _look_before(self, record: Round, shard: ShardRecord) -> None:
        """Look at the shards that have had their turn since the last look; the first time, at all."""
        round_index, seen = self._next
        if round_index != record.index or shard.index < seen:
            self._look_at_all()
        else:
            for each in record.shards[seen : shard.index]:
                self._look(record, each)
        self._next = (record.index, shard.index)

    def _look_at_all(self) -> None:
        for record in self.folder.rounds(self.plan):
            for shard in record.shards:
                self._look(record, shard)

    def _look(self, record: Round, shard: ShardRecord) -> None:
        """Read what is on record of a shard; one that is billed stays so."""
        place = (record.index, shard.index)
        if place in self._billed or not self._is_paid_here(shard):
            return
        self._in_flight.pop(place, None)
        if is_answered(self.folder, record, shard):
            self._billed[place] = self._landed_cost(record, shard)
            return
        batch = self._batch(record, shard)
        if batch is not None or self._may_be_sent(record, shard):
            self._in_flight[place] = _Flight(record, shard, batch, self.worst_case(record, shard))

    def _is_paid_here(self, shard: ShardRecord) -> bool:
        """Return whether the receipt of this generation will tell what a shard costs."""
        if shard.taken is None:
            return shard.requests > 0
        return not is_paid_elsewhere(self.folder, ManifestFolder.at(shard.taken.manifest))

    def _batch(self, record: Round, shard: ShardRecord) -> BatchRecord | None:
        batch = self.folder.read_batch(record.index, shard.index)
        if batch is not None or shard.taken is None:
            return batch
        source = ManifestFolder.at(shard.taken.manifest)
        return source.read_batch(shard.taken.round_index, shard.taken.shard_index)

    def _landed_cost(self, record: Round, shard: ShardRecord) -> Decimal:
        """Return what a shard was billed; lands it where only the folder that it is taken from has it."""
        if not self.folder.has_results(record.index, shard.index):
            land(self.folder, self.plan, record, shard, self.hook)
        return self._read_cost(record, shard)

    def _read_cost(self, record: Round, shard: ShardRecord) -> Decimal:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        from airflow_provider_claude_batch.core.result_blocks_to_arrow import UNREADABLE

        columns = ["claude_cost_usd", "claude_custom_id", "claude_outcome", "claude_error_type"]
        with self.folder.folder.open(names.results_path(record.index, shard.index)) as file:
            rows = pq.read_table(file, columns=columns)
        if rows.column("claude_cost_usd").null_count:
            # The model that answered has no known price.
            return self.worst_case(record, shard)
        total = Decimal(pc.sum(rows.column("claude_cost_usd"), min_count=0).as_py())
        is_unseen = (pc.field("claude_outcome") == "missing") | (pc.field("claude_error_type") == UNREADABLE)
        if unseen := set(rows.filter(is_unseen).column("claude_custom_id").to_pylist()):
            total += self._worst_of(record, shard, unseen)
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

    def _land_what_has_ended(self) -> None:
        """Look at what is in flight again, and land the results of batches that have ended."""
        for flight in list(self._in_flight.values()):
            self._look(flight.record, flight.shard)
        waiting = [
            (flight.record, flight.shard, flight.batch)
            for flight in self._in_flight.values()
            if flight.batch is not None
        ]
        seen = look_at_batches(self.hook, {batch.batch_id: batch.created_at for _, _, batch in waiting})
        if seen.gone:
            raise ResultsIncompleteError(
                f"Batch {seen.gone[0]} is neither listed nor found, so nothing says what it cost and "
                "max_cost_usd cannot be kept. Nothing more is sent; a retry looks again. If it was deleted, "
                "a clear of the task without max_cost_usd sends what is left."
            )
        for record, shard, batch in waiting:
            if batch.batch_id not in seen.running:
                land_batch(self.folder, self.plan, record, shard, batch, hook=self.hook)
                self._look(record, shard)
