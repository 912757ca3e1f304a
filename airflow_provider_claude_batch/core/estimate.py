"""
What a submission will cost, from a sample of its requests and from what earlier answers were like. Pure.

Dollars are decimals; the regression below them is in floats, whose error is far below the interval's.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from airflow_provider_claude_batch.core.prices import geo_factor
from airflow_provider_claude_batch.core.sampling import MIN_SAMPLE, Interval, estimate_total, t_quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_claude_batch.core.prices import ModelPrices, PriceList

#: What share of a batch's requests find the marked prefix in the cache: "30% to 98%, depending on traffic
#: patterns". https://platform.claude.com/docs/en/build-with-claude/batch-processing, read 2026-11-22.
_MOST_HITS = Decimal("0.98")
_FEWEST_HITS = Decimal("0.3")

#: Earlier runs bound the next one's answers, a tenth more and less.
_RUN_MARGIN = 0.1

_MILLION = Decimal(1_000_000)
_MILLIONTH = Decimal("0.000001")
_ONE_DOLLAR = 1
_TWO_DIGITS = 10

OutputSource = Literal["earlier runs", "pilot", "max_tokens"]


@dataclass(frozen=True, slots=True)
class OutputPerRequest:
    """
    Output tokens of an answer on average.

    :param source: What they are known by.
    """

    tokens: Interval
    source: OutputSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledRequest:
    """
    One request of the sample.

    :param size_bytes: Of its line.
    :param input_tokens: Of its prompt, as the API counts them.
    :param cached_tokens: Of the part of the prompt that is marked for the cache and the same in all requests.
    :param cache_kind: What that part is written as; ``None`` where nothing is marked.
    """

    size_bytes: int
    model: str
    input_tokens: int
    max_tokens: int
    geo: str | None = None
    cached_tokens: int = 0
    cache_kind: Literal["cache_write_5m", "cache_write_1h"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """
    What a submission will come to.

    :param output_source: What the output tokens are known by.
    :param usd_low: With few output tokens and most prompts read from the cache; ``None`` where a price is
        not known.
    :param usd_high: The opposite.
    :param list_usd: What the same would cost outside batches, in the middle.
    :param unpriced: Models whose price is not known.
    """

    requests: int
    input_tokens: Interval
    output_tokens: Interval
    output_source: OutputSource
    usd_low: Decimal | None
    usd_high: Decimal | None
    list_usd: Decimal | None
    unpriced: tuple[str, ...] = ()

    def to_text(self, *, max_cost_usd: Decimal | None = None) -> str:
        """Return one line for the log."""
        tokens = self.input_tokens
        share = round(100 * (tokens.high - tokens.mid) / tokens.mid) if tokens.mid else 0
        output = self.output_tokens
        parts = [
            f"{self.requests:,} requests",
            f"{short_count(tokens.mid)} ± {share} % tokens in",
            f"{short_count(output.low)} to {short_count(output.high)} out (by {self.output_source})",
        ]
        if self.usd_low is None or self.usd_high is None or self.list_usd is None:
            parts.append(f"cost not known (no price of {', '.join(self.unpriced)})")
        else:
            cost = f"est. {to_usd(self.usd_low)} to {to_usd(self.usd_high)}"
            parts.append(f"{cost} (list price {to_usd(self.list_usd)})")
        if max_cost_usd is not None:
            parts.append(f"cap {to_usd(max_cost_usd)}")
        return ", ".join(parts)


def estimate(
    sample: Sequence[SampledRequest],
    *,
    total_bytes: int,
    count: int,
    prices: PriceList,
    output: OutputPerRequest | None = None,
) -> Estimate:
    """
    Estimate tokens and dollars of all requests.

    :param sample: The requests that were drawn, each as often as it was; see :func:`.estimate_total`.
    :param total_bytes: Of the lines of all requests.
    :param output: Unless given, an answer has between no token and its ``max_tokens``.
    :raises ValueError: The sample is too small.
    """

    def total(quantities: Sequence[float]) -> Interval:
        sizes = [request.size_bytes for request in sample]
        return estimate_total(list(zip(sizes, quantities, strict=True)), total_bytes=total_bytes, count=count)

    answers = [_answer(request, output) for request in sample]
    fewest, middle, most = (
        total([getattr(answer, bound) for answer in answers]) for bound in ("low", "mid", "high")
    )
    models = {request.model: prices.of(request.model) for request in sample}
    costs = [
        _cost_bounds(request, answer, found)
        for request, answer in zip(sample, answers, strict=True)
        if (found := models[request.model]) is not None
    ]
    is_priced = all(models.values())
    return Estimate(
        requests=count,
        input_tokens=total([request.input_tokens for request in sample]),
        output_tokens=Interval(fewest.low, middle.mid, most.high),
        output_source=output.source if output else "max_tokens",
        usd_low=_to_usd(total([float(low) for low, _, _ in costs]).low) if is_priced else None,
        usd_high=_to_usd(total([float(high) for _, high, _ in costs]).high) if is_priced else None,
        list_usd=_to_usd(total([float(listed) for _, _, listed in costs]).mid) if is_priced else None,
        unpriced=tuple(model for model, found in models.items() if found is None),
    )


def output_of_runs(runs: Sequence[tuple[int, int]]) -> OutputPerRequest | None:
    """
    Say what answers are like from earlier runs of the same task.

    :param runs: Rows and output tokens of each; ``None`` is returned where there is none with rows.
    """
    runs = [run for run in runs if run[0]]
    if not runs:
        return None
    means = [tokens / rows for rows, tokens in runs]
    mid = sum(tokens for _, tokens in runs) / sum(rows for rows, _ in runs)
    bounds = Interval(min(means) * (1 - _RUN_MARGIN), mid, max(means) * (1 + _RUN_MARGIN))
    return OutputPerRequest(bounds, "earlier runs")


def output_of_pilot(tokens: Sequence[int]) -> OutputPerRequest | None:
    """
    Say what answers are like from those of a pilot.

    :param tokens: Output tokens of each answer; ``None`` is returned where they are too few to tell.
    """
    count = len(tokens)
    if count < MIN_SAMPLE:
        return None
    mean = sum(tokens) / count
    variance = sum((each - mean) ** 2 for each in tokens) / (count - 1)
    margin = t_quantile(0.995, count - 1) * (variance / count) ** 0.5
    return OutputPerRequest(Interval(max(mean - margin, 0.0), mean, mean + margin), "pilot")


def short_count(number: float) -> str:
    """Return ``950``, ``12 k``, ``61 M``, ``1.2 G``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.{1 if number < _TWO_DIGITS * size else 0}f} {letter}"
    return f"{number:.0f}"


def to_usd(amount: Decimal) -> str:
    """Return dollars and cents; of less than a dollar two digits, however small it is."""
    if abs(amount) >= _ONE_DOLLAR or not amount:
        return f"${amount:,.2f}"
    dollars, _, rest = f"{amount:.{max(2, 1 - amount.adjusted())}f}".partition(".")
    return f"${dollars}.{rest.rstrip('0').ljust(2, '0')}"


def _answer(request: SampledRequest, output: OutputPerRequest | None) -> Interval:
    most = float(request.max_tokens)
    if output is None:
        return Interval(0.0, most / 2, most)
    tokens = output.tokens
    return Interval(min(tokens.low, most), min(tokens.mid, most), min(tokens.high, most))


def _cost_bounds(
    request: SampledRequest, answer: Interval, prices: ModelPrices
) -> tuple[Decimal, Decimal, Decimal]:
    """Return the least and the most that a request costs on average, and its middle at list price."""
    tier = prices.tier_of(request.input_tokens)
    factor = geo_factor(request.geo) / _MILLION
    hits = (_MOST_HITS + _FEWEST_HITS) / 2
    return (
        _cost(request, answer.low, tier.batch, hits=_MOST_HITS) * factor,
        _cost(request, answer.high, tier.batch, hits=_FEWEST_HITS) * factor,
        _cost(request, answer.mid, tier.standard, hits=hits) * factor,
    )


def _cost(
    request: SampledRequest, output_tokens: float, usd: Mapping[str, Decimal], *, hits: Decimal
) -> Decimal:
    cost = (request.input_tokens - request.cached_tokens) * usd["input"]
    if request.cache_kind is not None:
        cost += request.cached_tokens * (hits * usd["cache_read"] + (1 - hits) * usd[request.cache_kind])
    return cost + Decimal(str(output_tokens)) * usd["output"]


def _to_usd(amount: float) -> Decimal:
    return Decimal(str(amount)).quantize(_MILLIONTH)
