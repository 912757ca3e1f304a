"""What was spent, summed by Dag, model or day, and against the time before. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from airflow_provider_claude_batch.core.manifest import Receipt

GroupBy = Literal["dag", "task", "run", "model", "day"]
GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)


@dataclass(slots=True, kw_only=True)
class Spending:
    """
    One line of the sums.

    :param by: Value of each group, in the order that was asked for.
    :param failed_rows: Rows whose outcome is not ``ok``.
    :param prompt_tokens: Input, cache writes and cache reads.
    :param cached_tokens: Those of them that were read from the cache.
    :param cost_usd: Sum of the dollars that are known.
    :param unpriced: Submissions whose dollars are not.
    :param before_usd: The same of the time before; ``None`` where days are told apart.
    """

    by: dict[str, str]
    submissions: int = 0
    rows: int = 0
    failed_rows: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = field(default_factory=Decimal)
    unpriced: int = 0
    before_usd: Decimal | None = None

    def add(self, receipt: Receipt) -> None:
        """Add a submission."""
        tokens = receipt.tokens
        cached = tokens.get("cache_read", 0)
        self.submissions += 1
        self.rows += receipt.rows
        self.failed_rows += receipt.rows - receipt.outcomes.get("ok", 0)
        self.cached_tokens += cached
        self.prompt_tokens += cached + sum(
            tokens.get(kind, 0) for kind in ("input", "cache_write_5m", "cache_write_1h")
        )
        self.output_tokens += tokens.get("output", 0)
        self.cost_usd += Decimal(receipt.cost_usd or 0)
        self.unpriced += receipt.cost_usd is None


def latest_receipts(receipts: Iterable[Receipt]) -> list[Receipt]:
    """
    Return the last receipt of each submission, oldest first.

    One that was loaded again on another day has a receipt there too; each is of all its rounds.

    :param receipts: In any order.
    """
    last: dict[str, Receipt] = {}
    for receipt in sorted(receipts, key=lambda receipt: receipt.published_at):
        last.pop(receipt.identity, None)
        last[receipt.identity] = receipt
    return list(last.values())


def sum_costs(receipts: Iterable[Receipt], *, by: Sequence[GroupBy], since: date) -> list[Spending]:
    """
    Sum receipts, the dearest group first; days, the last first.

    :param receipts: Each submission once. Those published before ``since`` are what the others are held
        against.
    :param by: Groups, all of them different.
    :param since: Day of publishing, in UTC.
    """
    lines: dict[tuple[str, ...], Spending] = {}
    before: dict[tuple[str, ...], Decimal] = {}
    for receipt in receipts:
        group = tuple(_value(receipt, each) for each in by)
        if receipt.published_at.date() < since:
            before[group] = before.get(group, Decimal(0)) + Decimal(receipt.cost_usd or 0)
        else:
            lines.setdefault(group, Spending(by=dict(zip(by, group, strict=True)))).add(receipt)
    if not {"day", "run"} & set(by):
        for group in before:
            lines.setdefault(group, Spending(by=dict(zip(by, group, strict=True))))
        for group, line in lines.items():
            line.before_usd = before.get(group, Decimal(0))
    dearest = sorted(lines.values(), key=lambda line: (-line.cost_usd, *line.by.values()))
    return sorted(dearest, key=lambda line: line.by.get("day", ""), reverse=True)


def total_of(lines: Iterable[Spending]) -> Spending:
    """Return the sum of all lines."""
    total = Spending(by={})
    for line in lines:
        total.submissions += line.submissions
        total.rows += line.rows
        total.failed_rows += line.failed_rows
        total.prompt_tokens += line.prompt_tokens
        total.cached_tokens += line.cached_tokens
        total.output_tokens += line.output_tokens
        total.cost_usd += line.cost_usd
        total.unpriced += line.unpriced
        if line.before_usd is not None:
            total.before_usd = (total.before_usd or Decimal(0)) + line.before_usd
    return total


def _value(receipt: Receipt, group: GroupBy) -> str:
    values = {
        "dag": receipt.dag_id,
        "task": receipt.task_id,
        "run": receipt.run_id,
        "model": receipt.model,
        "day": f"{receipt.published_at:%Y-%m-%d}",
    }
    return values[group]
