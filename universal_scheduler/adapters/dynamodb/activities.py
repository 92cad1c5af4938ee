"""What schedules are doing, over DynamoDB: one row for each, and one for what is left out, in the schedule's
partition of the jobs table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from universal_scheduler.adapters.dynamodb.items import may_be_key, to_item
from universal_scheduler.adapters.dynamodb.tables import Tables
from universal_scheduler.domain.time.policies import Activity, Firing, Holder, LeftOut

RUNS_KEY = "#runs"
LEFT_OUT_PREFIX = "#leftout#"
KEEP_SECONDS = 90 * 24 * 3600
"""How long it is kept that a start was left out."""


class DynamoActivities(Tables):
    """`ports.activities.Activities` over DynamoDB."""

    def activity(self, schedule_id: str) -> Activity:
        row = self._get(self._jobs, _key(schedule_id)) if may_be_key(schedule_id) else None
        return Activity() if row is None else _activity_from_values(row)

    def write_activity(
        self, schedule_id: str, before: Activity, after: Activity, left_out: Sequence[LeftOut] = ()
    ) -> bool:
        write: dict[str, Any] = {
            "TableName": self._jobs,
            "Item": to_item({**_key(schedule_id), **_activity_to_values(after), "version": before.version + 1}),
            "ConditionExpression": "attribute_not_exists(jobName)",
        }
        if before.version:
            write["ConditionExpression"] = "version = :version"
            write["ExpressionAttributeValues"] = to_item({":version": before.version})
        if not left_out:
            return self._conditional("put_item", **write)
        others = ({"Put": {"TableName": self._jobs, "Item": _left_out_item(schedule_id, each)}} for each in left_out)
        return self._together({"Put": write}, *others)

    def forget_activity(self, schedule_id: str) -> None:
        self._client.delete_item(TableName=self._jobs, Key=to_item(_key(schedule_id)))

    def leave_out(self, schedule_id: str, left_out: LeftOut) -> None:
        self._conditional(
            "put_item",
            TableName=self._jobs,
            Item=_left_out_item(schedule_id, left_out),
            ConditionExpression="attribute_not_exists(jobName)",
        )

    def why_left_out(self, schedule_id: str, at: str) -> str:
        row = self._get(self._jobs, {"runId": schedule_id, "jobName": LEFT_OUT_PREFIX + at})
        return "" if row is None else str(row["reason"])

    def left_out(self, schedule_id: str, limit: int, since: str = "") -> list[LeftOut]:
        if not may_be_key(schedule_id):
            return []
        rows = self._query(
            TableName=self._jobs,
            KeyConditionExpression="runId = :owner AND jobName BETWEEN :first AND :last",
            ExpressionAttributeValues=to_item(
                {":owner": schedule_id, ":first": LEFT_OUT_PREFIX + since, ":last": f"{LEFT_OUT_PREFIX}~"}
            ),
            ConsistentRead=True,
            ScanIndexForward=False,
            PaginationConfig={"PageSize": limit},
        )
        return [_left_out_from_values(row) for row in islice(rows, limit)]


def _key(schedule_id: str) -> dict[str, str]:
    return {"runId": schedule_id, "jobName": RUNS_KEY}


def _activity_to_values(activity: Activity) -> dict[str, Any]:
    return {
        "decidedUpTo": activity.decided or None,
        "places": activity.limit,
        "holders": [_holder_to_value(holder) for holder in activity.holders] or None,
        "waiting": [_firing_to_value(firing) for firing in activity.waiting] or None,
        "failures": list(activity.failures) or None,
    }


def _activity_from_values(row: Mapping[str, Any]) -> Activity:
    return Activity(
        version=int(row["version"]),
        decided=float(row.get("decidedUpTo", 0)),
        limit=row.get("places"),
        holders=tuple(_holder_from_value(value) for value in row.get("holders", ())),
        waiting=tuple(_firing_from_value(value) for value in row.get("waiting", ())),
        failures=tuple(row.get("failures", ())),
    )


def _firing_to_value(firing: Firing) -> dict[str, Any]:
    return {
        "at": firing.at,
        "scheduledTime": firing.scheduled,
        "businessDate": firing.business_date,
        "trigger": firing.trigger,
    }


def _firing_from_value(value: Mapping[str, Any]) -> Firing:
    return Firing(value["at"], value["scheduledTime"], value["businessDate"], int(value["trigger"]))


def _holder_to_value(holder: Holder) -> dict[str, Any]:
    firing = {} if holder.firing is None else {"firing": _firing_to_value(holder.firing)}
    return {"executionName": holder.execution, "since": holder.since, "begun": holder.begun, **firing}


def _holder_from_value(value: Mapping[str, Any]) -> Holder:
    firing = _firing_from_value(value["firing"]) if "firing" in value else None
    return Holder(value["executionName"], float(value["since"]), firing, value["begun"])


def _left_out_item(schedule_id: str, left_out: LeftOut) -> dict[str, Any]:
    return to_item(
        {
            "runId": schedule_id,
            "jobName": LEFT_OUT_PREFIX + left_out.at,
            "until": left_out.until,
            "reason": left_out.reason,
            "at": left_out.decided_at,
            "expiresAt": int(left_out.decided_at) + KEEP_SECONDS,
        }
    )


def _left_out_from_values(row: Mapping[str, Any]) -> LeftOut:
    at = row["jobName"].removeprefix(LEFT_OUT_PREFIX)
    return LeftOut(at, row["until"], row["reason"], float(row["at"]))
