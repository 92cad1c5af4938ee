"""What is kept of runs that have ended, as a whole, to be copied from one stage to another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from universal_scheduler.domain.runs.model import RunKey, RunStatus

Row = Mapping[str, Any]
"""A row as the tables have it. Only the adapter looks into it."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A run, its jobs and its audit trail."""

    key: RunKey
    run: Row
    rows: Sequence[Row]


class Recordings(Protocol):
    """The runs of all schedules, also of those that are not stored any more."""

    def recorded(self) -> Iterator[tuple[RunKey, RunStatus]]:
        """The keys and the states of all runs, one schedule after the other."""
        ...

    def starts(self, schedule_id: str) -> set[str]:
        """When the runs of a schedule started: the second part of their keys."""
        ...

    def read_recording(self, key: RunKey) -> Recording | None:
        """Everything of a run; None if there is none."""
        ...

    def keep_recording(self, recording: Recording) -> None:
        """Write the recording of a run that has ended. The run itself comes last: who finds it finds all of it.

        Raises:
            StoreUnavailable: DynamoDB refused the writes for too long. Some of them may be done.
        """
        ...

    def trail(self, schedule_id: str) -> Sequence[Row]:
        """The audit trail of a schedule, and the starts that were left out."""
        ...

    def keep_trail(self, rows: Sequence[Row]) -> None:
        """Write an audit trail beside what is there.

        Raises:
            StoreUnavailable: DynamoDB refused the writes for too long. Some of them may be done.
        """
        ...
