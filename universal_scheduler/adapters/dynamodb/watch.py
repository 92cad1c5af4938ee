"""What the watchdogs remember, over DynamoDB: in the rows of runs, and in rows beside those of their jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from universal_scheduler.adapters.dynamodb.bulk_write import Patience, put_items, write_if
from universal_scheduler.adapters.dynamodb.items import WATCHED, from_item, to_item
from universal_scheduler.domain.runs.model import RunKey, RunStatus

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

PATIENCE_SECONDS = 10.0
WATCH_INDEX = "watch-index"
NOTIFIED, STATS = "#notified#", "#stats#"
JOBS_IN_ROW = 500
"""How many jobs have their durations in one row: about 100 KB of the 400 KB of an item."""


class DynamoWatch:
    """`ports.watch.Watch` over a boto3 client of DynamoDB."""

    def __init__(
        self, client: DynamoDBClient, *, history: str, jobs: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client, self._history, self._jobs, self._sleep = client, history, jobs, sleep

    def due_runs(self, now: float) -> Iterator[RunKey]:
        rows = self._query(
            TableName=self._history,
            IndexName=WATCH_INDEX,
            KeyConditionExpression="watch = :watch AND watchAt <= :now",
            ExpressionAttributeValues=to_item({":watch": WATCHED["watch"], ":now": now}),
        )
        return (RunKey(row["scheduleId"], row["startDateTime"]) for row in rows)

    def schedule_check(self, key: RunKey, at: float) -> None:
        self._update_run(key, "SET watchAt = :at", {":at": at}, "attribute_exists(watch)")

    def unwatch(self, key: RunKey) -> None:
        running = {":running": str(RunStatus.RUNNING)}
        self._update_run(key, f"REMOVE {', '.join(WATCHED)}", running, "scheduleStatus <> :running")

    def notified(self, run_id: str) -> set[str]:
        return {row["jobName"].removeprefix(NOTIFIED) for row in self._rows(run_id, NOTIFIED) if "notified" in row}

    def begin_notification(self, run_id: str, name: str, now: float, stale: float) -> bool:
        return self._write(
            TableName=self._jobs,
            Key=to_item({"runId": run_id, "jobName": NOTIFIED + name}),
            UpdateExpression="SET begunAt = :now",
            ConditionExpression="attribute_not_exists(notified)"
            " AND (attribute_not_exists(begunAt) OR begunAt < :stale)",
            ExpressionAttributeValues=to_item({":now": now, ":stale": stale}),
        )

    def finish_notification(self, run_id: str, name: str) -> None:
        self._write(
            TableName=self._jobs,
            Key=to_item({"runId": run_id, "jobName": NOTIFIED + name}),
            UpdateExpression="SET notified = :true",
            ExpressionAttributeValues=to_item({":true": True}),
        )

    def unanswered_token(self, run_id: str) -> str:
        key = to_item({"runId": run_id, "jobName": "#wake"})
        answer = self._client.get_item(TableName=self._jobs, Key=key, ConsistentRead=True)
        row = from_item(answer.get("Item", {}))
        if "waitToken" not in row:
            return ""
        urgent = "waitSeq" in row and row.get("changeSeq", 0) > row["waitSeq"]
        return str(row["waitToken"]) if urgent or row.get("endCount", 0) >= row["waitUntil"] else ""

    def samples(self, schedule_id: str) -> dict[str, list[float]]:
        rows = list(self._rows(schedule_id, STATS))
        found: dict[str, list[float]] = {}
        for row in rows[: rows[0]["rows"]] if rows else ():  # the schedule may have had more jobs once
            found |= json.loads(row["durations"])
        return found

    def keep_samples(self, schedule_id: str, samples: Mapping[str, Sequence[float]]) -> None:
        entries, count = iter(samples.items()), -(-len(samples) // JOBS_IN_ROW)
        items = [
            to_item(
                {
                    "runId": schedule_id,
                    "jobName": f"{STATS}{number:03}",
                    "rows": count,
                    "durations": json.dumps(dict(islice(entries, JOBS_IN_ROW)), separators=(",", ":")),
                }
            )
            for number in range(count)
        ]
        put_items(self._client, self._jobs, items, PATIENCE_SECONDS, self._sleep)

    def _rows(self, owner: str, prefix: str) -> Iterator[dict[str, Any]]:
        return self._query(
            TableName=self._jobs,
            KeyConditionExpression="runId = :owner AND begins_with(jobName, :prefix)",
            ExpressionAttributeValues=to_item({":owner": owner, ":prefix": prefix}),
            ConsistentRead=True,
        )

    def _query(self, **request: Any) -> Iterator[dict[str, Any]]:
        for page in self._client.get_paginator("query").paginate(**request):
            yield from map(from_item, page["Items"])

    def _update_run(self, key: RunKey, expression: str, values: Mapping[str, Any], condition: str) -> None:
        self._write(
            TableName=self._history,
            Key=to_item({"scheduleId": key.schedule_id, "startDateTime": key.start}),
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeValues=to_item(values),
        )

    def _write(self, **request: Any) -> bool:
        return write_if(lambda: self._client.update_item(**request), Patience(PATIENCE_SECONDS, self._sleep))
