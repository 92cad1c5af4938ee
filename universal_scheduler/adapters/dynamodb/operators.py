"""What operators do, over DynamoDB: a change and its line of the audit trail in one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from universal_scheduler.adapters.dynamodb.audit import Audited
from universal_scheduler.adapters.dynamodb.items import (
    AUDIT_PREFIX,
    PAUSED_KEY,
    audit_from_values,
    audit_to_values,
    mark_from_value,
    mark_to_value,
    may_be_key,
    run_to_values,
    to_item,
)
from universal_scheduler.adapters.dynamodb.jobs import DynamoJobs
from universal_scheduler.adapters.dynamodb.tables import difference
from universal_scheduler.domain.runs.model import AuditEntry, JobRun, Mark, Run


class DynamoOperators(DynamoJobs, Audited):
    """`ports.operators.Operators` over DynamoDB."""

    def change_by_verb(self, run: Run, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        acted = replace(run, verb_count=run.verb_count + 1)
        return self._together(
            self._run_change(run, _acted_on(run, acted)),
            self._job_change(run.key.run_id, before, after),
            *self._audit_puts(acted, entry),
        )

    def refuse_late(self, run_id: str, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        audited = audit_to_values(run_id, entry, before.attempt)
        return self._together(self._job_change(run_id, before, after), self._put_new(audited))

    def ask_for_end(self, run: Run, entry: AuditEntry) -> bool:
        acted = replace(run, verb_count=run.verb_count + 1)
        before = replace(run, cancel=None)
        return self._together(self._run_change(run, _acted_on(before, acted)), *self._audit_puts(acted, entry))

    def pause(self, schedule_id: str, entry: AuditEntry) -> bool:
        item = {**_paused_key(schedule_id), **(mark_to_value(entry.mark) or {})}
        return self._together(self._put_new(item), self._put_new(audit_to_values(schedule_id, entry, 0)))

    def resume(self, schedule_id: str, entry: AuditEntry) -> bool:
        taken = {
            "TableName": self._jobs,
            "Key": to_item(_paused_key(schedule_id)),
            "ConditionExpression": "attribute_exists(jobName)",
        }
        return self._together({"Delete": taken}, self._put_new(audit_to_values(schedule_id, entry, 0)))

    def paused(self, schedule_id: str) -> Mark | None:
        if not may_be_key(schedule_id):
            return None
        return mark_from_value(self._get(self._jobs, _paused_key(schedule_id)))

    def record_verb(self, schedule_id: str, entry: AuditEntry) -> None:
        self._together(self._put_new(audit_to_values(schedule_id, entry, 0)))

    def audit(self, owner: str) -> list[AuditEntry]:
        rows = self._query(
            TableName=self._jobs,
            KeyConditionExpression="runId = :owner AND begins_with(jobName, :audit)",
            ExpressionAttributeValues=to_item({":owner": owner, ":audit": AUDIT_PREFIX}),
            ConsistentRead=True,
        )
        return [audit_from_values(row) for row in rows]


def _acted_on(old: Run, new: Run) -> dict[str, Any]:
    """The expressions for a run that operators may act on as it was read, and only so."""
    before = run_to_values(old)
    as_read = ("scheduleStatus", "generation", "cancelAsked", "verbCount", "preparing")
    return difference(before, run_to_values(new), {key: before[key] or None for key in as_read})


def _paused_key(schedule_id: str) -> dict[str, str]:
    return {"runId": schedule_id, "jobName": PAUSED_KEY}
