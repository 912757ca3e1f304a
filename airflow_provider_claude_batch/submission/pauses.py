"""
Pauses: what a send waits for when the answer needs time. Nobody sleeps here, nothing is paid to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import EXPIRES_AFTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_claude_batch.core.manifest import ShardRecord
    from airflow_provider_claude_batch.core.resume_decision import QueueRoom
    from airflow_provider_claude_batch.errors import CreateRefusedError

#: Looks are free; so often at least, should the list change in another way than the one that is waited for.
_QUEUE_SECONDS = 900.0
_SEARCH_SECONDS = 3600.0

#: Without ``retry-after``: this, then twice as long each time.
_FIRST_RATE_SECONDS = 60.0
_LONGEST_RATE_SECONDS = 600.0

#: With it: at least this, then twice as long each time; a whole body goes out each time.
_LEAST_RATE_SECONDS = 5.0

_RESULTS_SECONDS = (EXPIRES_AFTER + timedelta(hours=1)).total_seconds()

#: Batches that one wait names; the oldest end first.
_NAMED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """
    Why a send cannot go on at once, and what to wait for.

    :param why: A sentence for the log.
    :param seconds: At most so long.
    :param batch_ids: Or until one of these has ended; they may be other people's.
    :param holds_the_rest: Nothing more can be sent before.
    :param is_fixed: Looking earlier is of no use.
    :param is_for_results: It ends when all of these have ended, and not before; they are the submission's.
    """

    why: str
    seconds: float
    batch_ids: tuple[str, ...] = ()
    holds_the_rest: bool = False
    is_fixed: bool = False
    is_for_results: bool = False

    @classmethod
    def for_running_batches(cls, batch_ids: Sequence[str]) -> Pause:
        """Wait until all of a round's batches have ended, a day at most."""
        return cls(
            why=f"{len(batch_ids)} batches have not ended",
            seconds=_RESULTS_SECONDS,
            batch_ids=tuple(batch_ids),
            is_for_results=True,
        )

    @classmethod
    def for_the_queue(cls, room: QueueRoom, shard: ShardRecord, *, max_queued_requests: int) -> Pause:
        """Wait until a batch of the workspace ends: the queue has no room for the shard."""
        return cls(
            why=(
                f"the workspace's queue holds {room.queued} requests of at most {max_queued_requests}, and "
                f"shard {shard.index} has {shard.requests}"
            ),
            seconds=_QUEUE_SECONDS,
            batch_ids=room.running[:_NAMED],
            holds_the_rest=True,
        )

    @classmethod
    def for_the_cap(cls, why: str, *, batch_ids: Sequence[str]) -> Pause:
        """Wait until a batch of the submission ends: its real cost makes room under the cap."""
        return cls(why=why, seconds=_QUEUE_SECONDS, batch_ids=tuple(batch_ids)[:_NAMED], holds_the_rest=True)

    @classmethod
    def for_a_lost_answer(
        cls, shard: ShardRecord, *, batch_ids: tuple[str, ...], seconds: float | None
    ) -> Pause:
        """Wait until a candidate ends and can be proven, or until none can appear any more."""
        what = f"it may be {' or '.join(batch_ids)}" if batch_ids else "no batch that it could be is listed"
        return cls(
            why=f"shard {shard.index} was sent and its answer was lost; {what}",
            seconds=_SEARCH_SECONDS if seconds is None else max(seconds, 0.0) + 1.0,
            batch_ids=batch_ids[:_NAMED],
        )


def rate_limit_pause(error: CreateRefusedError, *, attempt: int) -> Pause:
    """Wait as long as the API asks after a 429, or longer each time where it does not say."""
    asked = error.retry_after_seconds
    first = _FIRST_RATE_SECONDS if asked is None else _LEAST_RATE_SECONDS
    least = min(first * 2 ** min(attempt - 1, 20), _LONGEST_RATE_SECONDS)
    seconds = least if asked is None else max(asked, least)
    return Pause(
        why="the API's rate limit refused a shard, and nothing is billed for it",
        seconds=seconds,
        holds_the_rest=True,
        is_fixed=True,
    )


def merge_pauses(pauses: Sequence[Pause]) -> Pause:
    """Return one pause that ends as soon as one of several does."""
    batch_ids = dict.fromkeys(batch_id for pause in pauses for batch_id in pause.batch_ids)
    return Pause(
        why="; ".join(pause.why for pause in pauses),
        seconds=min(pause.seconds for pause in pauses),
        batch_ids=tuple(batch_ids)[:_NAMED],
        is_fixed=all(pause.is_fixed for pause in pauses),
    )
