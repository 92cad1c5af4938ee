"""How a waiting run is woken: its change counters, and the task token of its execution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from universal_scheduler.domain.runs.model import ChangeLog, Changes

CHANGE_LOG_LIMIT = 1000
"""When a run's change log has so many names, it is emptied. A reader that has not read all of them reads all jobs
once."""


class Waits(Protocol):
    """What happens to a run while its execution waits."""

    def changes(self, run_id: str) -> Changes:
        """The change counters of a run."""
        ...

    def change_log(self, run_id: str) -> ChangeLog:
        """The change counters of a run, and the names of the jobs that have changed."""
        ...

    def count_change(self, run_id: str, ended: int, urgent: bool, names: Sequence[str] = ()) -> str:
        """Count `ended` ends of jobs and, if `urgent`, an urgent change, and add the names of jobs to the change log.

        Returns: the task token of the waiting execution if its wait is over, else an empty text.
        """
        ...

    def park(self, run_id: str, generation: int, token: str, seen: Changes, ends_needed: int, turn: int = 0) -> bool:
        """Keep the task token until something urgent happens or `ends_needed` jobs have ended; both count from `seen`.

        False if that has happened already, or if a newer generation, or a later turn of this one, waits.
        """
        ...

    def clear_token(self, run_id: str, token: str = "") -> None:
        """Forget this token, because it was answered. A token that was parked since then stays. Without `token`, forget
        any."""
        ...
