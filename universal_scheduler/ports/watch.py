"""What the watchdogs remember."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from universal_scheduler.domain.runs.model import RunKey


class Watch(Protocol):
    """What the watchdogs remember: which runs to look at when, what was told, how long jobs use to take."""

    def due_runs(self, now: float) -> Iterator[RunKey]:
        """The runs that are to be looked at by now, the longest due first. Eventually consistent."""
        ...

    def schedule_check(self, key: RunKey, at: float) -> None:
        """Look at the run again then (epoch seconds)."""
        ...

    def unwatch(self, key: RunKey) -> None:
        """Never look at the run again, unless it is RUNNING (once more) by now."""
        ...

    def notified(self, run_id: str) -> set[str]:
        """The names of the breaches of the run for which a message was queued."""
        ...

    def begin_notification(self, run_id: str, name: str, now: float, stale: float) -> bool:
        """Claim a breach to queue its message; False where that is done, or claimed since `stale` (epoch seconds)."""
        ...

    def finish_notification(self, run_id: str, name: str) -> None:
        """The message is queued: nobody claims the breach again."""
        ...

    def unanswered_token(self, run_id: str) -> str:
        """The parked token, where it should have been answered: whoever counted the change has not come to it."""
        ...

    def samples(self, schedule_id: str) -> dict[str, list[float]]:
        """For each job of a schedule: how long its last successful runs took (seconds), oldest first."""
        ...

    def keep_samples(self, schedule_id: str, samples: Mapping[str, Sequence[float]]) -> None: ...
