"""The job log over DynamoDB: one item for each event of a job, which forgets itself after some time."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from universal_scheduler.adapters.dynamodb.bulk_write import put_items
from universal_scheduler.adapters.dynamodb.items import from_item, to_item
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import LIVE, JobStatus, Observation, RunKey

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

PATIENCE_SECONDS = 10.0
"""How long a call waits in all for throttled writes: the function has 30 s, and the queue brings the events again."""
BATCH_STATES = (*sorted(LIVE), JobStatus.SUCCEEDED, JobStatus.FAILED)
QUEUE_INDEX, NAME_INDEX = "queueStatus-index", "jobName-index"


class DynamoJobLog:
    """`ports.JobLog` over a boto3 DynamoDB client. `keep_days`: when DynamoDB may delete an event, from its time on."""

    def __init__(
        self,
        client: DynamoDBClient,
        *,
        table: str,
        keep_days: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._table, self._keep_days, self._sleep = client, table, keep_days, sleep

    def append(self, events: Sequence[JobEvent]) -> None:
        # One call must not name an item twice; an event that came twice is one item.
        items = {(event.job_id, event.position): to_item(self._values(event)) for event in events}
        put_items(self._client, self._table, list(items.values()), PATIENCE_SECONDS, self._sleep)

    def history(self, job_id: str) -> list[JobEvent]:
        rows = self._query(
            KeyConditionExpression="jobId = :id", ExpressionAttributeValues={":id": {"S": job_id}}, ConsistentRead=True
        )
        return [_event(from_item(row)) for row in rows]

    def changed_jobs(self, queues: Sequence[str], since: float, status: JobStatus | None = None) -> Iterator[str]:
        # A job that has ended stays as it is; any other may have gone on, so every state is looked through.
        states = [status] if status is not None and status.ended else BATCH_STATES
        parts = [_queue_status(queue, state) for queue in queues for state in states]
        newest = heapq.merge(
            *(self._newest_first(QUEUE_INDEX, "queueStatus", part, since) for part in parts), key=_at, reverse=True
        )
        for row in _newest_by_job(newest):
            if status is None or row["queueStatus"]["S"].endswith(f"#{status}"):
                yield row["jobId"]["S"]

    def named_jobs(self, name: str, since: float) -> Iterator[str]:
        for row in _newest_by_job(self._newest_first(NAME_INDEX, "jobName", name, since)):
            yield row["jobId"]["S"]

    def _newest_first(self, index: str, key: str, value: str, since: float) -> Iterator[Any]:
        return self._query(
            IndexName=index,
            KeyConditionExpression=f"{key} = :value AND #at >= :since",
            ExpressionAttributeNames={"#at": "at"},
            ExpressionAttributeValues={":value": {"S": value}, ":since": {"S": iso(since)}},
            ScanIndexForward=False,
        )

    def _query(self, **request: Any) -> Iterator[Any]:
        for page in self._client.get_paginator("query").paginate(TableName=self._table, **request):
            yield from page["Items"]

    def _values(self, event: JobEvent) -> dict[str, Any]:
        seen, run = event.seen, event.run
        return {
            "jobId": event.job_id,
            "at": event.position,
            "queueStatus": _queue_status(event.queue, seen.status),
            "jobName": event.job_name or event.name,
            "batchName": event.name,
            "jobQueue": event.queue,
            "jobStatus": str(seen.status),
            "time": event.at,
            "statusReason": seen.reason or None,
            "exitCode": seen.exit_code,
            "logGroupName": seen.log_group or None,
            "logStreamName": seen.log_stream or None,
            "createdAt": event.created_at or None,
            "startedAt": seen.started_at or None,
            "stoppedAt": seen.stopped_at or None,
            "attempts": event.attempts or None,
            "firstAttempt": event.first_attempt if event.first_attempt > 1 else None,
            "blocked": event.blocked or None,
            "arrayJobId": event.parent_id or None,
            "arrayIndex": event.index,
            "scheduleId": run.schedule_id if run else None,
            "startDateTime": run.start if run else None,
            "expiresAt": int(event.at) + self._keep_days * 86400,
        }


def _at(row: Any) -> str:
    return str(row["at"]["S"])


def _newest_by_job(rows: Iterable[Any]) -> Iterator[Any]:
    """The first row of every job."""
    seen = set()
    for row in rows:
        if row["jobId"]["S"] not in seen:
            seen.add(row["jobId"]["S"])
            yield row


def _queue_status(queue: str, status: JobStatus) -> str:
    return f"{queue}#{status}"


def _event(row: Mapping[str, Any]) -> JobEvent:
    run = RunKey(row["scheduleId"], row["startDateTime"]) if "scheduleId" in row else None
    status = JobStatus(row["jobStatus"])
    return JobEvent(
        seen=Observation(
            row["jobId"],
            status,
            reason=row.get("statusReason", ""),
            exit_code=row.get("exitCode"),
            log_stream=row.get("logStreamName", ""),
            started_at=row.get("startedAt", 0.0),
            stopped_at=row.get("stoppedAt", 0.0),
            attempts=row.get("attempts", 0) + (status in (JobStatus.STARTING, JobStatus.RUNNING)),
            log_group=row.get("logGroupName", ""),
        ),
        name=row["batchName"],
        queue=row["jobQueue"],
        at=row["time"],
        created_at=row.get("createdAt", 0.0),
        blocked=row.get("blocked", False),
        attempts=row.get("attempts", 0),
        parent_id=row.get("arrayJobId", ""),
        index=row.get("arrayIndex"),
        run=run,
        job_name=row["jobName"] if run else "",
        first_attempt=row.get("firstAttempt", 1),
    )
