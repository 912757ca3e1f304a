"""What an emulator can be told about the account and the API that it plays."""

from __future__ import annotations

from typing import Literal

import msgspec

Tier = Literal["start", "build", "scale"]

#: Batch requests that may wait in the processing queue, by usage tier.
#: https://platform.claude.com/docs/en/api/rate-limits, read 2026-11-22.
QUEUE_LIMITS: dict[Tier, int] = {"start": 200_000, "build": 300_000, "scale": 500_000}

#: Calls a minute to all batch endpoints together, by usage tier; the same page.
CALLS_PER_MINUTE: dict[Tier, int] = {"start": 1_000, "build": 2_000, "scale": 4_000}

DEFAULT_WORKSPACE = "wrkspc_01EmuLatedDefau1tWorkspace"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Settings of one emulator; all can be changed while it runs.

    :param seconds_per_batch: Emulated seconds from a create to its end; its requests are answered evenly in
        between.
    :param seconds_to_cancel: Emulated seconds from a cancel to the batch's end.
    :param tier: Usage tier, which sets the queue limit and the calls a minute.
    :param queue_limit: Queued requests allowed, in place of the tier's number.
    :param limit_calls: Whether calls beyond the tier's calls a minute get a 429.
    :param max_requests: Requests allowed in one batch.
    :param max_body_bytes: Bytes allowed in the body of a create.
    :param too_large_form: What a 413 looks like: the API's JSON or the HTML of the proxy in front of it.
    :param api_keys: Keys that are accepted and the workspace of each; empty accepts any key, for the default
        workspace. The header ``anthropic-workspace-id`` names another one.
    :param cache_hit_rate: Share of requests that find a prompt cache entry where there is one.
    :param gzip_answers: Whether answers are compressed for clients that accept it.
    :param early_results_status: Status of results asked for before the batch has ended; not documented.
    :param undue_delete_status: Status of a delete before the batch has ended; not documented.
    :param undue_cancel_status: Status of a cancel after the batch has ended; not documented.
    """

    seconds_per_batch: float = 0.0
    seconds_to_cancel: float = 0.0
    tier: Tier = "start"
    queue_limit: int | None = None
    limit_calls: bool = False
    max_requests: int = 100_000
    max_body_bytes: int = 256_000_000
    too_large_form: Literal["json", "html"] = "json"
    api_keys: dict[str, str] = {}
    cache_hit_rate: float = 1.0
    gzip_answers: bool = False
    early_results_status: int = 400
    undue_delete_status: int = 400
    undue_cancel_status: int = 400

    @property
    def queued_requests_allowed(self) -> int:
        """Return the queue limit in force."""
        return QUEUE_LIMITS[self.tier] if self.queue_limit is None else self.queue_limit

    @property
    def calls_per_minute(self) -> int:
        """Return the calls a minute of the tier."""
        return CALLS_PER_MINUTE[self.tier]


def changed(settings: Settings, changes: dict[str, object]) -> Settings:
    """
    Return ``settings`` with ``changes``.

    :param settings: What holds so far.
    :param changes: Fields of :class:`Settings` by name.
    :raises msgspec.ValidationError: A name is unknown or a value has the wrong type.
    """
    return msgspec.convert({**msgspec.structs.asdict(settings), **changes}, Settings)
