"""What the watchdogs remember between their sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from universal_scheduler.domain.runs.model import RunKey


class Watch(Protocol):
    """What the watchdogs remember: when to look at which run, which messages were sent, and how long jobs usually
    take."""

    def due_runs(self, now: float) -> Iterator[RunKey]:
        """The runs that are due for a look at `now` (epoch seconds), the longest due first. Eventually consistent."""
        ...

    def schedule_check(self, key: RunKey, at: float) -> None:
        """Let the run be due again at this time (epoch seconds)."""
        ...

    def unwatch(self, key: RunKey) -> None:
        """Never look at the run again, unless it is RUNNING again."""
        ...

    def notified(self, run_id: str) -> set[str]:
        """The names of the breaches of the run whose messages were queued."""
        ...

    def begin_notification(self, run_id: str, name: str, now: float, stale: float) -> bool:
        """Claim a breach, in order to queue its message.

        False if its message was queued, or if somebody has claimed it after `stale`. Times are epoch seconds.
        """
        ...

    def finish_notification(self, run_id: str, name: str) -> None:
        """Record that the message of a breach is queued, so that nobody claims it again."""
        ...

    def unanswered_token(self, run_id: str) -> str:
        """The task token of a run that should have been woken, because whoever counted the change did not do it; else
        empty."""
        ...

    def samples(self, schedule_id: str) -> dict[str, list[float]]:
        """For each job of a schedule, the durations of its last successful runs in seconds, oldest first."""
        ...

    def keep_samples(self, schedule_id: str, samples: Mapping[str, Sequence[float]]) -> None:
        """Keep the durations of the jobs of a schedule, in place of the old ones."""
        ...
