"""How a run that waits is reached: its change counters, and the task token that its execution has parked."""

from __future__ import annotations

from typing import Protocol

from universal_scheduler.domain.runs.model import Changes


class Waits(Protocol):
    """What has happened to a run while its execution waits."""

    def changes(self, run_id: str) -> Changes: ...

    def count_change(self, run_id: str, ended: int, urgent: bool) -> str:
        """Count ends of jobs, and an urgent change; answers the parked token where its waiting is over, else ""."""
        ...

    def park(self, run_id: str, generation: int, token: str, seen: Changes, ends_needed: int, turn: int = 0) -> bool:
        """Keep the token until something urgent happens or so many jobs have ended, both counted from what was `seen`.

        False where that has happened already, or where a newer generation, or a later turn of this one, waits.
        """
        ...

    def clear_token(self, run_id: str, token: str = "") -> None:
        """Forget this token, which was answered (another one that was parked meanwhile stays), or any."""
        ...
