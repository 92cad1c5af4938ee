"""Where runs are kept: how a run begins, restarts and ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from universal_scheduler.domain.runs.model import AuditEntry, Run, RunKey, RunStatus


class Runs(Protocol):
    """Runs. Every write that changes a state has a condition, and answers whether the condition was true."""

    def create_run(self, run: Run) -> bool:
        """Write a new run. False if another execution already has a run with this key. True also if this execution has
        written the run before."""
        ...

    def restart_run(self, run: Run, of: Run, entry: AuditEntry | None = None) -> bool:
        """Turn the run `of` into `run`, which another execution drives, and write the audit entry with it.

        False if its generation has changed, or an operator has acted on it since it was read.
        """
        ...

    def finish_preparing(self, run: Run) -> None:
        """Record that all jobs of a start or a restart are written. From now on operators may act on the run."""
        ...

    def finish_run(
        self, run: Run, status: RunStatus, reason: str, ended_at: str, job_list: Sequence[Mapping[str, Any]]
    ) -> bool:
        """Record the end of a RUNNING run of this generation.

        `ended_at` is UTC in ISO 8601. `job_list` is what the row keeps of the jobs. False if the run was not RUNNING
        any more, or an operator has acted on it since it was read.
        """
        ...

    def get_run(self, key: RunKey) -> Run | None:
        """The run with this key; None if there is none."""
        ...

    def find_run(self, execution_name: str) -> Run | None:
        """The run that the execution with this name drives; None if there is none. Eventually consistent."""
        ...

    def list_runs(self, schedule_id: str | None, limit: int, since: str = "") -> list[Run]:
        """The newest runs first, of one schedule or (None) of all schedules. `since` is the earliest `startDateTime`.

        The list of all schedules' runs is eventually consistent.
        """
        ...

    def index_runs(self, rows: int) -> bool:
        """Put the next `rows` runs into the index by day, if an earlier version has left them out.

        Returns: whether the index has all runs. Until then the list of all schedules' runs reads all rows.
        """
        ...

    def recorded_jobs(self, key: RunKey) -> list[dict[str, Any]]:
        """The `jobList` of the history row, in which operators write PASS; empty if the row has none."""
        ...
