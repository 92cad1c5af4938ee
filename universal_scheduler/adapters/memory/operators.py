"""What operators do, under one lock."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

from universal_scheduler.adapters.dynamodb.items import run_to_values
from universal_scheduler.adapters.memory.jobs import MemoryJobs
from universal_scheduler.adapters.memory.runs import MemoryRuns
from universal_scheduler.domain.runs.model import AuditEntry, JobRun, Mark, Run

ACTED_ON = attrgetter("status", "generation", "cancel", "verb_count", "preparing")
"""What has to be as it was read, of a run that an operator acts on."""


class MemoryOperators(MemoryRuns, MemoryJobs):
    """`ports.operators` in dictionaries."""

    def change_by_verb(self, run: Run, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        with self._lock:
            if not self._as_read(run) or not self.change_job(run.key.run_id, before, after):
                return False
            self._acted(replace(run, verb_count=run.verb_count + 1), entry)
            return True

    def refuse_late(self, run_id: str, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        with self._lock:
            if not self.change_job(run_id, before, after):
                return False
            self._note(run_id, entry)
            return True

    def ask_for_end(self, run: Run, entry: AuditEntry) -> bool:
        with self._lock:
            if not self._as_read(replace(run, cancel=None)):
                return False
            self._acted(replace(run, verb_count=run.verb_count + 1), entry)
            return True

    def pause(self, schedule_id: str, entry: AuditEntry) -> bool:
        with self._lock:
            if schedule_id in self.pauses:
                return False
            self.pauses[schedule_id] = entry.mark
            self._note(schedule_id, entry)
            return True

    def resume(self, schedule_id: str, entry: AuditEntry) -> bool:
        with self._lock:
            if self.pauses.pop(schedule_id, None) is None:
                return False
            self._note(schedule_id, entry)
            return True

    def paused(self, schedule_id: str) -> Mark | None:
        return self.pauses.get(schedule_id)

    def record_verb(self, schedule_id: str, entry: AuditEntry) -> None:
        with self._lock:
            self._note(schedule_id, entry)

    def audit(self, owner: str) -> list[AuditEntry]:
        return sorted(self.trails.get(owner, ()), key=lambda entry: entry.mark.at)

    def _as_read(self, run: Run) -> bool:
        known = self.get_run(run.key)
        return known is not None and ACTED_ON(known) == ACTED_ON(run)

    def _acted(self, run: Run, entry: AuditEntry) -> None:
        values = run_to_values(run)
        self.history[run.key].update({key: values[key] for key in ("verbCount", "cancelAsked")})
        self._note(run.key.run_id, entry)
