"""Old runs are forgotten in DynamoDB: the row of a run, then the rows of its jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from universal_scheduler.adapters.dynamodb.bulk_write import delete_items
from universal_scheduler.adapters.dynamodb.items import to_item
from universal_scheduler.adapters.dynamodb.runs import DAY_INDEX, DAYS_KEY
from universal_scheduler.adapters.dynamodb.tables import WRITE_PATIENCE_SECONDS, Tables, run_key
from universal_scheduler.domain.runs.model import RunKey, RunStatus

FORGOTTEN_KEY = "#forgotten"
"""The partition of the jobs table with a row for each run that is being deleted."""


class DynamoRetention(Tables):
    """`ports.retention.Retention` over DynamoDB."""

    def forget_runs(self, before: str, limit: int) -> int:
        for row in self._partition(FORGOTTEN_KEY):
            self._forget_jobs(row["jobName"])
        forgotten = 0
        for day in self._partition(DAYS_KEY, before):
            stay = 0
            for key in self._runs_of(day["jobName"]):
                if forgotten == limit:
                    return forgotten
                gone = self._forget(key)
                forgotten, stay = forgotten + gone, stay + (not gone)
            if not stay:
                self._delete([day])
        return forgotten

    def _forget(self, key: RunKey) -> bool:
        """False if the run goes on."""
        note = {"runId": FORGOTTEN_KEY, "jobName": key.run_id}
        self._client.put_item(TableName=self._jobs, Item=to_item(note))
        gone = self._conditional(
            "delete_item",
            TableName=self._history,
            Key=to_item(run_key(key)),
            ConditionExpression="attribute_not_exists(scheduleId) OR scheduleStatus <> :running",
            ExpressionAttributeValues=to_item({":running": str(RunStatus.RUNNING)}),
        )
        if gone:
            self._forget_jobs(key.run_id)
        else:
            self._delete([note])
        return gone

    def _forget_jobs(self, run_id: str) -> None:
        self._delete([*self._partition(run_id), {"runId": FORGOTTEN_KEY, "jobName": run_id}])

    def _delete(self, keys: list[dict[str, Any]]) -> None:
        delete_items(self._client, self._jobs, list(map(to_item, keys)), WRITE_PATIENCE_SECONDS, self._sleep)

    def _partition(self, run_id: str, before: str = "") -> Iterator[dict[str, Any]]:
        """The keys of the rows of a partition of the jobs table, in order; on request only those before a name."""
        return self._query(
            TableName=self._jobs,
            KeyConditionExpression="runId = :id" + (" AND jobName < :before" if before else ""),
            ExpressionAttributeValues=to_item({":id": run_id, ":before": before or None}),
            ProjectionExpression="runId, jobName",
            ConsistentRead=True,
        )

    def _runs_of(self, day: str) -> Iterator[RunKey]:
        rows = self._query(
            TableName=self._history,
            IndexName=DAY_INDEX,
            KeyConditionExpression="startDay = :day",
            ExpressionAttributeValues=to_item({":day": day}),
        )
        return (RunKey(row["scheduleId"], row["startDateTime"]) for row in rows)
