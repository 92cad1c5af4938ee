"""What operators do to runs, jobs and schedules: each change with its line of the audit trail, both or neither."""

from __future__ import annotations

from typing import Protocol

from universal_scheduler.domain.runs.model import AuditEntry, JobRun, Mark, Run


class Operators(Protocol):
    """Changes by operators, pauses and the audit trail."""

    def change_by_verb(self, run: Run, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        """`change_job`, in a run that is as it was read; False where one of them is not what it was."""
        ...

    def refuse_late(self, run_id: str, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        """`change_job`, with the line of the audit trail that says that a verb came too late for the job."""
        ...

    def ask_for_end(self, run: Run, entry: AuditEntry) -> bool:
        """Write `run.cancel` to a RUNNING run; False where the run is not what it was when it was read."""
        ...

    def pause(self, schedule_id: str, entry: AuditEntry) -> bool:
        """No trigger starts the schedule any more; False where it is paused already."""
        ...

    def resume(self, schedule_id: str, entry: AuditEntry) -> bool:
        """Take a pause back; False where it is not paused."""
        ...

    def paused(self, schedule_id: str) -> Mark | None:
        """Who paused the schedule, where somebody did."""
        ...

    def audit(self, owner: str) -> list[AuditEntry]:
        """The audit trail of a run (by its run id) or of a schedule (by its scheduleId), oldest first."""
        ...
