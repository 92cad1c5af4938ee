"""How a run that waits is reached: its change counters, and the task token that its execution has parked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from universal_scheduler.domain.runs.model import ChangeLog, Changes

CHANGE_LOG_LIMIT = 1000
"""With so many jobs in it, a run's change log is begun anew: whoever had read a part of it reads all jobs once."""


class Waits(Protocol):
    """What has happened to a run while its execution waits."""

    def changes(self, run_id: str) -> Changes: ...

    def change_log(self, run_id: str) -> ChangeLog: ...

    def count_change(self, run_id: str, ended: int, urgent: bool, names: Sequence[str] = ()) -> str:
        """Count ends of jobs, and an urgent change, and keep the names of the jobs in the change log.

        Answers the parked token where its waiting is over, else "".
        """
        ...

    def park(self, run_id: str, generation: int, token: str, seen: Changes, ends_needed: int, turn: int = 0) -> bool:
        """Keep the token until something urgent happens or so many jobs have ended, both counted from what was `seen`.

        False where that has happened already, or where a newer generation, or a later turn of this one, waits.
        """
        ...

    def clear_token(self, run_id: str, token: str = "") -> None:
        """Forget this token, which was answered (another one that was parked meanwhile stays), or any."""
        ...
