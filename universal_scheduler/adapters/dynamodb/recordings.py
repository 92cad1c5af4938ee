"""Recordings of runs over DynamoDB: items as they are, without a look at what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from universal_scheduler.adapters.dynamodb.activities import LEFT_OUT_PREFIX
from universal_scheduler.adapters.dynamodb.bulk_write import put_items
from universal_scheduler.adapters.dynamodb.items import AUDIT_PREFIX, WATCHED, start_day, to_item
from universal_scheduler.adapters.dynamodb.runs import DynamoRuns
from universal_scheduler.adapters.dynamodb.tables import WRITE_PATIENCE_SECONDS, run_key
from universal_scheduler.domain.runs.model import RunKey, RunStatus
from universal_scheduler.ports.recordings import Recording, Row


class DynamoRecordings(DynamoRuns):
    """`ports.recordings.Recordings` over a boto3 client of DynamoDB."""

    def recorded(self) -> Iterator[tuple[RunKey, RunStatus]]:
        rows = self._scan(
            TableName=self._history,
            ProjectionExpression="scheduleId, startDateTime, scheduleStatus",
            ConsistentRead=True,
        )
        for row in rows:
            yield RunKey(row["scheduleId"], row["startDateTime"]), RunStatus(row["scheduleStatus"])

    def starts(self, schedule_id: str) -> set[str]:
        rows = self._query(
            TableName=self._history,
            KeyConditionExpression="scheduleId = :id",
            ExpressionAttributeValues={":id": {"S": schedule_id}},
            ProjectionExpression="startDateTime",
            ConsistentRead=True,
        )
        return {row["startDateTime"] for row in rows}

    def read_recording(self, key: RunKey) -> Recording | None:
        answer = self._client.get_item(TableName=self._history, Key=to_item(run_key(key)), ConsistentRead=True)
        if "Item" not in answer:
            return None
        run = {name: value for name, value in answer["Item"].items() if name not in WATCHED}
        return Recording(key, run, [row for row in self._items(key.run_id) if _of_a_run(row["jobName"]["S"])])

    def keep_recording(self, recording: Recording) -> None:
        self._note_days([start_day(recording.key.start)])
        self._put_all(self._jobs, recording.rows)
        self._put_all(self._history, [recording.run])

    def trail(self, schedule_id: str) -> Sequence[Row]:
        kept = (AUDIT_PREFIX, LEFT_OUT_PREFIX)
        return [row for row in self._items(schedule_id) if row["jobName"]["S"].startswith(kept)]

    def keep_trail(self, rows: Sequence[Row]) -> None:
        self._put_all(self._jobs, rows)

    def _items(self, owner: str) -> Iterator[Any]:
        """The rows of the partition of a run, or of a schedule."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._jobs,
            KeyConditionExpression="runId = :owner",
            ExpressionAttributeValues={":owner": {"S": owner}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    def _put_all(self, table: str, rows: Sequence[Row]) -> None:
        put_items(self._client, table, rows, WRITE_PATIENCE_SECONDS, self._sleep)


def _of_a_run(name: str) -> bool:
    """Whether a row is a job or a line of the audit trail: the others say how a run goes on, and it has ended."""
    return not name.startswith("#") or name.startswith(AUDIT_PREFIX)
