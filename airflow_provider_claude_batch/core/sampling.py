"""
A total of many requests from a few of them: which to look at, and how far off the total may be. Pure.

Requests are drawn with a probability in proportion to their bytes, one from each of as many equal stretches
of the bytes, and the total is a regression on bytes: a request's tokens are close to a constant and a share
of its length, and both the number of requests and the sum of their lengths are known exactly.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How sure an interval is. It is told as the bounds of a cost, so it is rather wide than often wrong.
CONFIDENCE = 0.99

#: Regression takes two of the sample; those that are left tell how far off it is.
MIN_SAMPLE = 6

#: The sum over a sequence of draws may differ from itself in another order by so much.
_NO_SPREAD = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """A number that is not known, between two that bound it."""

    low: float
    mid: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        """Return the bounds of the sum, whatever the two have to do with each other."""
        return Interval(self.low + other.low, self.mid + other.mid, self.high + other.high)


def sample_positions(total_bytes: int, *, draws: int, seed: str) -> list[int]:
    """
    Return positions in ascending order, one at random in each of ``draws`` equal stretches.

    The request that covers a position is drawn; a long one may be drawn more than once.

    :param total_bytes: Of all requests, one after the other.
    :param seed: The same seed draws the same.
    """
    step = total_bytes / draws
    return [
        min(int((stretch + _chance(f"{seed}-{stretch}")) * step), total_bytes - 1) for stretch in range(draws)
    ]


def estimate_total(sample: Sequence[tuple[int, float]], *, total_bytes: int, count: int) -> Interval:
    """
    Estimate the sum of a quantity over all requests.

    :param sample: Bytes and quantity of each draw, as :func:`sample_positions` drew them; or every request
        once, and the sum is exact.
    :param total_bytes: Of all requests.
    :param count: All requests.
    :raises ValueError: The sample is neither all nor at least :data:`MIN_SAMPLE` draws.
    """
    if len(sample) == count:
        exact = math.fsum(quantity for _, quantity in sample)
        return Interval(exact, exact, exact)
    draws = len(sample)
    if draws < MIN_SAMPLE:
        raise ValueError(f"{draws} draws do not tell how far off their total is")
    constant, slope = _line_through(sample)
    total = count * constant + total_bytes * slope
    spread = math.fsum(((quantity - constant - slope * size) / size) ** 2 for size, quantity in sample)
    error = total_bytes * math.sqrt(spread / (draws * (draws - 2)))
    margin = t_quantile((1 + CONFIDENCE) / 2, draws - 2) * error
    return Interval(max(total - margin, 0.0), total, total + margin)


def t_quantile(probability: float, freedom: int) -> float:
    """
    Return a quantile of Student's t distribution, to a hundredth for quantiles up to 0.995.

    The expansion of Abramowitz and Stegun, 26.7.5.

    :param probability: Above a half.
    :param freedom: Degrees of freedom, 4 or more.
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return sum(term / float(freedom) ** power for power, term in enumerate(terms))


def _chance(seed: str) -> float:
    """Return a number from 0 to 1 that is the same for the same seed."""
    digest = hashlib.sha256(seed.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _line_through(sample: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Fit ``constant + slope * bytes``, each draw counting for as many requests as it stands for."""
    weights = [1 / size for size, _ in sample]
    weight = math.fsum(weights)
    mean_size = len(sample) / weight
    mean = math.fsum(w * quantity for w, (_, quantity) in zip(weights, sample, strict=True)) / weight
    spread = math.fsum(w * (size - mean_size) ** 2 for w, (size, _) in zip(weights, sample, strict=True))
    if spread <= _NO_SPREAD:
        return mean, 0.0
    both = math.fsum(
        w * (size - mean_size) * (quantity - mean)
        for w, (size, quantity) in zip(weights, sample, strict=True)
    )
    return mean - both / spread * mean_size, both / spread
