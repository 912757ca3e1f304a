"""Prices that a deployment or an author gives: checked, and found by a model's name. Imports nothing slow."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.errors import ClaudeBatchInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_DATE = re.compile(r"-\d{8}$")


def check_own_prices(
    own: Mapping[str, Mapping[str, Decimal | str]], *, kinds: Collection[str]
) -> dict[str, dict[str, Decimal]]:
    """
    Return prices as decimals.

    :param own: By model and kind.
    :param kinds: The kinds that there are.
    :raises ClaudeBatchInputError: Names the model and the kind.
    """
    return {
        model: {kind: _price(model, kind, price, kinds=kinds) for kind, price in prices.items()}
        for model, prices in own.items()
    }


def find_own_prices(own: Mapping[str, Mapping[str, Decimal]], model: str) -> Mapping[str, Decimal] | None:
    """Return the prices of a model by its name as it is, or else without its date."""
    return own.get(model, own.get(_DATE.sub("", model)))


def _price(model: str, kind: str, price: object, *, kinds: Collection[str]) -> Decimal:
    if kind not in kinds:
        raise ClaudeBatchInputError(
            f"own prices of {model}: {kind!r} is not one of {', '.join(kinds)}. Nothing was sent."
        )
    try:
        value = Decimal(str(price))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise ClaudeBatchInputError(
            f"own prices of {model}: {kind} is {price!r} and not US dollars per million tokens. Nothing was "
            "sent."
        )
    return value
