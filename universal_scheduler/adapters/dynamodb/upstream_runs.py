"""Which upstream runs a schedule has seen, over DynamoDB: the jobs table has a partition for each such schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from universal_scheduler.adapters.dynamodb.items import to_item
from universal_scheduler.adapters.dynamodb.tables import Tables
from universal_scheduler.domain.runs.upstream_runs import Ended, UpstreamRuns

SEEN_PREFIX = "#upstream#"
"""Begins the partition key of what a schedule has seen; its scheduleId follows. The sort key is the collection."""


class DynamoUpstreamRuns(Tables):
    """`ports.upstream_runs.SeenRuns` over DynamoDB."""

    def upstream_runs(self, schedule_id: str, collection: str) -> UpstreamRuns:
        return _from_row(self._get(self._jobs, _key(schedule_id, collection)) or {})

    def put_upstream_runs(self, schedule_id: str, collection: str, runs: UpstreamRuns) -> bool:
        condition = "version = :before" if runs.version else "attribute_not_exists(jobName)"
        values = {"ExpressionAttributeValues": to_item({":before": runs.version})} if runs.version else {}
        item = to_item({**_key(schedule_id, collection), **_to_row(runs)})
        return self._conditional("put_item", TableName=self._jobs, Item=item, ConditionExpression=condition, **values)

    def forget_upstream_runs(self, schedule_id: str, collections: Sequence[str]) -> None:
        for collection in collections:
            rows = self._query(
                TableName=self._jobs,
                KeyConditionExpression="runId = :seen AND begins_with(jobName, :collection)",
                ExpressionAttributeValues=to_item({":seen": SEEN_PREFIX + schedule_id, ":collection": collection}),
                ProjectionExpression="runId, jobName",
                ConsistentRead=True,
            )
            for row in rows:
                self._client.delete_item(TableName=self._jobs, Key=to_item(row))


def _key(schedule_id: str, collection: str) -> dict[str, str]:
    return {"runId": SEEN_PREFIX + schedule_id, "jobName": collection}


def _to_row(runs: UpstreamRuns) -> dict[str, Any]:
    return {
        "version": runs.version + 1,
        "came": {name: {"startDateTime": run.start, "lastDateTime": run.ended_at} for name, run in runs.came.items()},
        "used": {name: list(starts) for name, starts in runs.used.items()},
        "startedBy": dict(runs.started_by),
    }


def _from_row(row: Mapping[str, Any]) -> UpstreamRuns:
    came = row.get("came", {})
    return UpstreamRuns(
        row.get("version", 0),
        {name: Ended(run["startDateTime"], run["lastDateTime"]) for name, run in came.items()},
        {name: tuple(starts) for name, starts in row.get("used", {}).items()},
        row.get("startedBy", {}),
    )
