"""The data of the memory store, and its one lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from universal_scheduler.domain.runs.model import AuditEntry, ChangeLog, Changes, JobRun, Mark, RunKey
from universal_scheduler.domain.runs.upstream_runs import UpstreamRuns
from universal_scheduler.domain.time.policies import Activity, LeftOut


@dataclass(slots=True)
class Parked:
    """How a run waits."""

    changes: Changes = field(default_factory=Changes)
    token: str = ""
    until: int = 0
    """The token is answered when so many ends were counted."""
    seen: int = 0
    """The number of urgent changes that were seen when the token was parked."""
    generation: int = 0
    turn: int = 0
    epoch: int = 0
    names: tuple[str, ...] = ()
    """The change log."""

    @property
    def log(self) -> ChangeLog:
        return ChangeLog(self.changes, self.epoch, self.names)


class Memory:
    """The data that the parts of the memory store share. `history` has rows in the form of the table."""

    def __init__(self) -> None:
        self.schedules: dict[str, dict[str, Any]] = {}
        self.calendars: dict[str, dict[str, Any]] = {}
        self.noted_followers: dict[str, set[str]] = {}
        self.seen_runs: dict[tuple[str, str], UpstreamRuns] = {}
        self.history: dict[RunKey, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, JobRun]] = {}
        self.waits: dict[str, Parked] = {}
        self.pauses: dict[str, Mark] = {}
        self.trails: dict[str, list[AuditEntry]] = {}
        self.activities: dict[str, Activity] = {}
        self.left_outs: dict[str, dict[str, LeftOut]] = {}
        self.noted_listeners: dict[str, set[str]] = {}
        self.newest_objects: dict[tuple[str, int, str], str] = {}
        self.time_rows_read = self.time_entries_page = ""
        """How far the reconciler of the timetable has come."""
        self.on_write: Callable[[Iterable[JobRun]], None] | None = None
        """Is told of the jobs that were written, at each write."""
        self._lock = RLock()

    def _note(self, owner: str, entry: AuditEntry | None) -> None:
        if entry is not None:
            self.trails.setdefault(owner, []).append(entry)
