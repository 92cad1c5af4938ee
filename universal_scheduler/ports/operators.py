"""What operators do to runs, jobs and schedules. Each change and its line of the audit trail are written together or
not at all."""

from __future__ import annotations

from typing import Protocol

from universal_scheduler.domain.runs.model import AuditEntry, JobRun, Mark, Run


class Operators(Protocol):
    """The changes by operators, the pauses of schedules, and the audit trail."""

    def change_by_verb(self, run: Run, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        """Do `change_job` in a run. False if the run or the job has changed since it was read."""
        ...

    def refuse_late(self, run_id: str, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        """Do `change_job`, with an audit entry that says that the verb came too late for the job."""
        ...

    def ask_for_end(self, run: Run, entry: AuditEntry) -> bool:
        """Write `run.cancel` to a RUNNING run. False if the run has changed since it was read."""
        ...

    def pause(self, schedule_id: str, entry: AuditEntry) -> bool:
        """Pause a schedule, so that no trigger starts it. False if it is paused already."""
        ...

    def resume(self, schedule_id: str, entry: AuditEntry) -> bool:
        """End the pause of a schedule. False if it is not paused."""
        ...

    def paused(self, schedule_id: str) -> Mark | None:
        """Who has paused the schedule, and when; None if it is not paused."""
        ...

    def record_verb(self, schedule_id: str, entry: AuditEntry) -> None:
        """Write a line of the audit trail of a schedule for a verb that changes no row of its own."""
        ...

    def audit(self, owner: str) -> list[AuditEntry]:
        """The audit trail of a run (by its run id) or of a schedule (by its scheduleId), oldest entry first."""
        ...
