"""Writes lines of the audit trail in one transaction with the change that they report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from universal_scheduler.adapters.dynamodb.items import audit_to_values, to_item
from universal_scheduler.adapters.dynamodb.tables import Tables, run_key
from universal_scheduler.domain.runs.model import AuditEntry, Run


class Audited(Tables):
    """The writes of a transaction: a change of a run and its line of the audit trail."""

    def _run_change(self, run: Run, expressions: Mapping[str, Any]) -> dict[str, Any]:
        return {"Update": {"TableName": self._history, "Key": to_item(run_key(run.key)), **expressions}}

    def _audit_puts(self, run: Run, entry: AuditEntry | None) -> list[dict[str, Any]]:
        return [] if entry is None else [self._put_new(audit_to_values(run.key.run_id, entry, run.verb_count))]

    def _put_new(self, values: Mapping[str, Any]) -> dict[str, Any]:
        absent = "attribute_not_exists(jobName)"
        return {"Put": {"TableName": self._jobs, "Item": to_item(values), "ConditionExpression": absent}}
