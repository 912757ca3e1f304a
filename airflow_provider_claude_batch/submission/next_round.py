"""
The next round of a submission: the requests of the rows that can still improve, as shards of their own.

Made of what is on record only, in files of its own; ``round.json`` is written last, exclusively.
"""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.core.custom_ids import renumbered_custom_id
from airflow_provider_claude_batch.core.estimate import to_usd
from airflow_provider_claude_batch.core.manifest import Round
from airflow_provider_claude_batch.core.round_decision import (
    NextStep,
    RowResult,
    grown_max_tokens,
    is_lack_of_credit,
    next_step,
)
from airflow_provider_claude_batch.submission import names
from airflow_provider_claude_batch.submission.next_keys import NextKeys, next_keys_schema
from airflow_provider_claude_batch.submission.pricing import price_list
from airflow_provider_claude_batch.submission.request_lines import request_lines
from airflow_provider_claude_batch.submission.shard_writer import ShardsWriter
from airflow_provider_claude_batch.submission.storage import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from airflow_provider_claude_batch.core.manifest import Plan, ShardRecord
    from airflow_provider_claude_batch.core.requests_to_shards import ShardCutter
    from airflow_provider_claude_batch.submission.manifest_folder import ManifestFolder

_LINES_AT_ONCE = 1_000
_READ_BYTES = 1 << 20

_RESULT_COLUMNS = (
    "claude_custom_id",
    "claude_outcome",
    "claude_error_type",
    "claude_error_message",
    "claude_stop_reason",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRules:
    """
    What the author says about rounds.

    :param grow_max_tokens: What ``max_tokens`` of a cut answer is multiplied by; 1 for not asking again.
    :param model_limit: Most tokens that a model's answer may have, or ``None`` where that is not known.
    :param credit_is_back: What was refused for lack of credit goes again.
    :param usd_left: Dollars that the round may cost at most, or ``None`` where there is no cap.
    """

    grow_max_tokens: float
    credit_is_back: bool
    usd_left: Decimal | None = None
    model_limit: Callable[[str], int | None]


@dataclass(slots=True)
class RoundMaking:
    """
    What making a round came to.

    :param record: The round, or ``None`` where no row goes again.
    :param by_outcome: Rows that go again, by the outcome that they had.
    :param no_credit: Rows that the API refused since the account has no money left.
    :param without_request: Rows that would go again and whose request text retention has removed.
    :param too_dear: How the round could cost more than the cap leaves; then none is made.
    """

    record: Round | None = None
    by_outcome: Counter[str] = field(default_factory=Counter)
    no_credit: int = 0
    without_request: int = 0
    too_dear: str | None = None


def make_round(
    folder: ManifestFolder, plan: Plan, rounds: list[Round], rules: RoundRules, *, cutter: ShardCutter
) -> RoundMaking:
    """
    Write the round that follows the last one, whose results are landed.

    Where the account has no money left, none is made: it would be refused row by row again. In memory: the
    keys and outcomes of one shard, and some requests; on local disk: one shard's files.

    :param rounds: On record, from the submit task's.
    """
    import pyarrow as pa

    last, made = rounds[-1], RoundMaking()
    first_ordinal = _rows_of(folder, rounds)
    going = [len(_select(folder, last, shard, rules, made)) for shard in last.shards]
    if made.no_credit or not any(going):
        return made
    shards: list[ShardRecord] = []
    # A try that is late writes no file of the round that another has sent.
    identity = secrets.token_hex(8)
    schema = next_keys_schema(folder, last)
    with scratch_folder() as scratch, ExitStack() as stack:
        writer = ShardsWriter(
            folder.folder,
            scratch,
            round_index=last.index + 1,
            identity=identity,
            keys_schema=schema,
            cutter=cutter,
            prices=None if rules.usd_left is None else price_list(plan.created_at),
        )
        stack.callback(writer.close)
        ordinal = first_ordinal
        for shard in last.shards:
            steps = _select(folder, last, shard, rules, made)
            for requests, keys in _again(folder, last, shard, steps, rules=rules, schema=schema, made=made):
                ids = [
                    renumbered_custom_id(custom_id, identity=plan.identity, ordinal=ordinal + position)
                    for position, custom_id in enumerate(keys.column("claude_previous_custom_id").to_pylist())
                ]
                ordinal += len(ids)
                lines = [
                    b"".join((b'{"custom_id":"', custom_id.encode(), b'","params":', params, b"}"))
                    for custom_id, params in zip(ids, requests, strict=True)
                ]
                shards += writer.write(lines, keys.set_column(0, schema.field(0), pa.array(ids, pa.string())))
        if ordinal == first_ordinal:
            return made
        shards.append(writer.finish())
    made.too_dear = _too_dear(shards, rules.usd_left)
    if made.too_dear is not None:
        return made
    following = Round(index=last.index + 1, identity=identity, shards=shards)
    made.record = folder.commit_round(following, identity=plan.identity)
    return made


def _too_dear(shards: list[ShardRecord], usd_left: Decimal | None) -> str | None:
    if usd_left is None:
        return None
    needs = sum((Decimal(shard.worst_case_usd or 0) for shard in shards), Decimal(0))
    if needs <= usd_left:
        return None
    requests = sum(shard.requests for shard in shards)
    return f"{requests} requests may cost {to_usd(needs)}, and max_cost_usd leaves {to_usd(usd_left)}"


def previous_custom_ids(folder: ManifestFolder, record: Round, shards: Iterable[ShardRecord]) -> pa.Array:
    """Return the ``custom_id`` that each row of some shards of a later round had in the round before."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = [pa.array([], pa.string())]
    for shard in shards:
        with folder.folder.open(names.keys_path(record.index, shard.index, record.identity)) as file:
            found += pq.read_table(file, columns=["claude_previous_custom_id"]).column(0).chunks
    return pa.concat_arrays(found)


def _rows_of(folder: ManifestFolder, rounds: list[Round]) -> int:
    """Return how many ordinals are given away."""
    import pyarrow.parquet as pq

    rows = 0
    for record in rounds:
        for shard in record.shards:
            if shard.taken is None:
                with folder.folder.open(names.keys_path(record.index, shard.index, record.identity)) as file:
                    rows += pq.read_metadata(file).num_rows
    return rows


def _select(
    folder: ManifestFolder, record: Round, shard: ShardRecord, rules: RoundRules, made: RoundMaking
) -> dict[str, NextStep]:
    """Return what becomes of each row of a shard that goes again, by ``custom_id``."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with folder.folder.open(names.results_path(record.index, shard.index)) as file:
        results = pq.read_table(file, columns=list(_RESULT_COLUMNS))
    results = results.filter(pc.field("claude_outcome") != "ok")
    previous = _previous_outcomes(folder, record, shard) if record.index else {}
    selected: dict[str, NextStep] = {}
    for custom_id, outcome, error_type, message, stop_reason in zip(
        *(results.column(name).to_pylist() for name in _RESULT_COLUMNS), strict=True
    ):
        if outcome == "errored" and is_lack_of_credit(error_type, message):
            if rules.credit_is_back:
                selected[custom_id] = "again"
            else:
                made.no_credit += 1
            continue
        step = next_step(
            RowResult(
                outcome=outcome,
                error_type=error_type,
                stop_reason=stop_reason,
                previous_outcome=previous.get(custom_id),
            )
        )
        if step == "again" or (step == "larger" and rules.grow_max_tokens > 1):
            selected[custom_id] = step
    return selected


def _previous_outcomes(folder: ManifestFolder, record: Round, shard: ShardRecord) -> dict[str, str]:
    import pyarrow.parquet as pq

    with folder.folder.open(names.keys_path(record.index, shard.index, record.identity)) as file:
        keys = pq.read_table(file, columns=["claude_custom_id", "claude_previous_outcome"])
    return dict(zip(keys.column(0).to_pylist(), keys.column(1).to_pylist(), strict=True))


def _again(
    folder: ManifestFolder,
    record: Round,
    shard: ShardRecord,
    steps: dict[str, NextStep],
    *,
    rules: RoundRules,
    schema: pa.Schema,
    made: RoundMaking,
) -> Iterator[tuple[list[bytes], pa.RecordBatch]]:
    """Yield ``params`` and keys of the rows of one shard that go again, with their ids of this round."""
    if not steps:
        return
    keys = NextKeys(folder, record, shard, schema, steps.keys())
    left = dict(steps)
    changed = (
        (custom_id, new)
        for custom_id, params in request_lines(folder, record, shard)
        if (step := left.pop(custom_id, None)) is not None
        and (new := _changed(params, step, rules)) is not None
    )
    while found := list(itertools.islice(changed, _LINES_AT_ONCE)):
        rows = keys.rows([custom_id for custom_id, _ in found])
        made.by_outcome.update(rows.column("claude_previous_outcome").to_pylist())
        yield [params for _, params in found], rows
    made.without_request += len(left)


def _changed(params: bytes, step: NextStep, rules: RoundRules) -> bytes | None:
    """Return the request's ``params`` for the next round, or ``None`` where there is no room to grow."""
    if step == "again":
        return params
    fields = msgspec.json.decode(params, type=dict[str, msgspec.Raw])
    limit = rules.model_limit(msgspec.json.decode(fields["model"], type=str))
    max_tokens = msgspec.json.decode(fields["max_tokens"], type=int)
    grown = grown_max_tokens(max_tokens, factor=rules.grow_max_tokens, limit=limit)
    if grown is None:
        return None
    return msgspec.json.encode({**fields, "max_tokens": grown})
