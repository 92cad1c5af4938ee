"""The job log over DynamoDB: one item for what one call tells of a job, which forgets itself after some time."""

from __future__ import annotations

import heapq
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
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
        # One call must not name an item twice; an event that came twice is kept once.
        by_job: dict[str, dict[str, JobEvent]] = defaultdict(dict)
        for event in events:
            by_job[event.job_id][event.position] = event
        items = [
            to_item(self._values([(position, by_position[position]) for position in part]))
            for by_position in by_job.values()
            for part in _parts(by_position)
        ]
        put_items(self._client, self._table, items, PATIENCE_SECONDS, self._sleep)

    def history(self, job_id: str) -> list[JobEvent]:
        rows = self._query(
            KeyConditionExpression="jobId = :id", ExpressionAttributeValues={":id": {"S": job_id}}, ConsistentRead=True
        )
        # What came again among other events is in two items.
        events = {event.position: event for row in rows for event in _events(from_item(row))}
        return [events[position] for position in sorted(events)]

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

    def _values(self, events: Sequence[tuple[str, JobEvent]]) -> dict[str, Any]:
        """The item of these events of one job, in order, each with its position."""
        *earlier, (position, last) = events
        return {
            **_of_job(last),
            **_of_event(last),
            "at": _key([position for position, _ in earlier], position),
            "queueStatus": _queue_status(last.queue, last.seen.status),
            "earlier": json.dumps([_present(_of_event(event)) for _, event in earlier]) if earlier else None,
            "expiresAt": int(last.at) + self._keep_days * 86400,
        }


def _parts(events: Mapping[str, JobEvent]) -> Iterator[list[str]]:
    """The positions of a job's events, in order, cut where what they say of the job is not the same."""
    part: list[str] = []
    for position in sorted(events):
        if part and _of_job(events[part[-1]]) != _of_job(events[position]):
            yield part
            part = []
        part.append(position)
    if part:
        yield part


def _key(earlier: Sequence[str], last: str) -> str:
    """An item's sort key: the same events make the same item, and others do not write over it."""
    if not earlier:
        return last
    return f"{last}#{blake2b(' '.join(earlier).encode(), digest_size=6).hexdigest()}"


def _of_job(event: JobEvent) -> dict[str, Any]:
    """What all events of a job say alike."""
    run = event.run
    return {
        "jobId": event.job_id,
        "jobName": event.job_name or event.name,
        "batchName": event.name,
        "jobQueue": event.queue,
        "createdAt": event.created_at or None,
        "firstAttempt": event.first_attempt if event.first_attempt > 1 else None,
        "arrayJobId": event.parent_id or None,
        "arrayIndex": event.index,
        "scheduleId": run.schedule_id if run else None,
        "startDateTime": run.start if run else None,
    }


def _of_event(event: JobEvent) -> dict[str, Any]:
    seen = event.seen
    return {
        "jobStatus": str(seen.status),
        "time": event.at,
        "statusReason": seen.reason or None,
        "exitCode": seen.exit_code,
        "logGroupName": seen.log_group or None,
        "logStreamName": seen.log_stream or None,
        "startedAt": seen.started_at or None,
        "stoppedAt": seen.stopped_at or None,
        "attempts": event.attempts or None,
        "blocked": event.blocked or None,
    }


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


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


def _events(row: Mapping[str, Any]) -> Iterator[JobEvent]:
    """All that an item tells."""
    last = _event(row)
    if "earlier" in row:
        of_job = _present(_of_job(last))
        for values in json.loads(row["earlier"]):
            yield _event(of_job | values)
    yield last


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
