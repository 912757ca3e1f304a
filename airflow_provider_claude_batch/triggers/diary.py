"""
What a person reads of a wait: a line at each change, none at a look that changes nothing.

The API shows no progress inside a batch, so none is invented: batches that have ended are counted, and what
is left is estimated from how long such batches took before.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_claude_batch.core.limits import EXPIRES_AFTER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from airflow_provider_claude_batch.triggers.look import SeenBatch
    from airflow_provider_claude_batch.triggers.poller import Trouble, Wait

    class Log(Protocol):
        """What a diary is written to."""

        def info(self, event: str, *args: object) -> object:
            """Write a line."""

        def warning(self, event: str, *args: object) -> object:
            """Write a line that somebody should read."""


#: A batch is warned of so long after its creation.
_WARN_AFTER = timedelta(hours=20)


class WaitDiary:
    """
    Log what changes in one wait.

    :param batch_ids: Of the wait.
    :param expected_seconds: How long such batches took before.
    """

    def __init__(self, batch_ids: Sequence[str], *, log: Log, expected_seconds: float | None) -> None:
        self._batch_ids = batch_ids
        self._log = log
        self._expected_seconds = expected_seconds
        self._known: dict[str, str] = {}
        self._trouble: Trouble | None = None
        self._has_warned = False
        self._oldest: float | None = None

    @property
    def warn_at(self) -> float | None:
        """Epoch seconds at which the next warning is due, if one is."""
        if self._has_warned or self._oldest is None:
            return None
        return self._oldest + _WARN_AFTER.total_seconds()

    def note(self, wait: Wait, *, now: float) -> None:
        """Log what has changed since the last time."""
        self._note_trouble(wait.trouble)
        changed = [
            batch
            for batch in wait.seen.values()
            if self._known.get(batch.batch_id) != batch.processing_status
        ]
        for batch in changed:
            self._known[batch.batch_id] = batch.processing_status
            self._log.info(
                "Batch %s is %s, %s after its creation: %s",
                batch.batch_id,
                batch.processing_status,
                _spoken((batch.ended_at or now) - batch.created_at),
                batch.counts,
            )
        running = [wait.seen[b].created_at for b in wait.waiting() if b in wait.seen]
        self._oldest = min(running, default=None)
        if changed and running:
            self._note_rest(wait, now=now)
        if self.warn_at is not None and now >= self.warn_at:
            self._warn(wait, now=now)

    def _note_trouble(self, trouble: Trouble | None) -> None:
        if trouble == self._trouble:
            return
        if trouble is None:
            self._log.info("The API answers again.")
        elif trouble.is_of_the_key:
            self._log.warning(
                "The API refuses the connection (%s). The batches go on, and so does the wait: mend the "
                "connection meanwhile.",
                trouble.what,
            )
        else:
            self._log.warning(
                "The API cannot be asked (%s). The batches go on, and so does the wait.", trouble.what
            )
        self._trouble = trouble

    def _note_rest(self, wait: Wait, *, now: float) -> None:
        ended = len(self._batch_ids) - len(wait.waiting())
        rest = "nothing is known of how long such batches take"
        if self._expected_seconds is not None:
            youngest = max(batch.created_at for batch in wait.seen.values())
            left = max(self._expected_seconds - (now - youngest), 0.0)
            rest = (
                f"about {_spoken(left)} left, as such batches took {_spoken(self._expected_seconds)} before"
            )
        self._log.info("%d of %d batches have ended; %s", ended, len(self._batch_ids), rest)

    def _warn(self, wait: Wait, *, now: float) -> None:
        self._has_warned = True
        late: list[SeenBatch] = [wait.seen[b] for b in wait.waiting() if b in wait.seen]
        self._log.warning(
            "%d batches have not ended %s after the creation of the oldest; what is not answered after %s "
            "expires, and is not billed: %s",
            len(late),
            _spoken(now - min(batch.created_at for batch in late)),
            _spoken(EXPIRES_AFTER.total_seconds()),
            ", ".join(batch.batch_id for batch in late),
        )


def _spoken(seconds: float) -> str:
    """Return a duration for people, such as ``2 h 5 min``."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
