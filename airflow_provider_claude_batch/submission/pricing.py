"""The prices that a deployment counts with: the list, and what its config or an author knows better."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_claude_batch.core.prices import PriceList
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def price_list(when: datetime, *, own: Mapping[str, Mapping[str, Decimal | str]] | None = None) -> PriceList:
    """
    Return the prices of batches created at ``when``.

    :param own: Of an author, by model and kind: wins over the provider config ``[claude_batch] prices``,
        which wins over the list. See :meth:`.PriceList.at`.
    :raises ClaudeBatchInputError: The config is no such mapping, or a price is no number of dollars.
    """
    configured = _configured()
    given = own or {}
    return PriceList.at(
        when,
        own={
            model: {**configured.get(model, {}), **given.get(model, {})}
            for model in dict.fromkeys([*configured, *given])
        },
    )


def _configured() -> dict[str, dict[str, Decimal]]:
    from airflow.providers.common.compat.sdk import conf

    text = conf.get("claude_batch", "prices", fallback="")
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, dict[str, Decimal]])
    except ValueError as error:
        raise ClaudeBatchInputError(
            f"[claude_batch] prices is not JSON of prices by model and kind: {error}. Nothing was sent."
        ) from error
