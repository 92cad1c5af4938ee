"""Runs in a dictionary, as rows of the history table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from universal_scheduler.adapters.dynamodb.items import run_from_values, run_to_values
from universal_scheduler.adapters.memory.state import Memory
from universal_scheduler.domain.runs.model import AuditEntry, Run, RunKey, RunStatus


class MemoryRuns(Memory):
    """`ports.runs` in dictionaries."""

    def create_run(self, run: Run) -> bool:
        known = self.history.get(run.key)
        if known is not None and known.get("executionArn") != run.execution.arn:
            return False
        self.history[run.key] = deepcopy(run_to_values(run))
        return True

    def restart_run(self, run: Run, of: Run, entry: AuditEntry | None = None) -> bool:
        with self._lock:
            row = self.history.get(run.key)
            if row is None:
                return False
            if (row.get("generation", 0), row.get("verbCount") or 0) != (of.generation, of.verb_count):
                return bool(row.get("executionArn") == run.execution.arn)  # done before, and its answer was lost
            for key in run_to_values(of).keys() - run_to_values(run).keys() | {"lastDateTime", "statusReason"}:
                row.pop(key, None)
            row.update(deepcopy(run_to_values(run)))
            self._note(run.key.run_id, entry)
            return True

    def finish_preparing(self, run: Run) -> None:
        row = self.history[run.key]
        if row["executionArn"] == run.execution.arn:
            row["preparing"] = None

    def finish_run(
        self, run: Run, status: RunStatus, reason: str, ended_at: str, job_list: Sequence[Mapping[str, Any]]
    ) -> bool:
        row = self.history.get(run.key)
        if row is None or row["generation"] != run.generation or row["scheduleStatus"] != RunStatus.RUNNING:
            return False
        if (row.get("verbCount") or 0) != run.verb_count:
            return False
        row.update(scheduleStatus=str(status), statusReason=reason, lastDateTime=ended_at)
        row["jobList"] = [dict(job) for job in job_list]
        return True

    def get_run(self, key: RunKey) -> Run | None:
        row = self.history.get(key)
        return None if row is None else run_from_values(deepcopy(row))

    def find_run(self, execution_name: str) -> Run | None:
        for key, row in self.history.items():
            if row.get("executionName") == execution_name:
                return self.get_run(key)
        return None

    def list_runs(self, schedule_id: str | None, limit: int, since: str = "") -> list[Run]:
        keys = [key for key in self.history if schedule_id in (None, key.schedule_id) and key.start >= since]
        keys.sort(key=lambda key: (key.start, key.schedule_id), reverse=True)
        return [run_from_values(deepcopy(self.history[key])) for key in keys[:limit]]

    def index_runs(self, rows: int) -> bool:
        del rows  # there is no index
        return True

    def recorded_jobs(self, key: RunKey) -> list[dict[str, Any]]:
        return deepcopy(self.history.get(key, {}).get("jobList", []))
