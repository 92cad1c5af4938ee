"""Which schedules start after which, over DynamoDB: the jobs table has an item for each name in a trigger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from universal_scheduler.adapters.dynamodb.bulk_write import put_items
from universal_scheduler.adapters.dynamodb.items import from_item, may_be_key, to_item
from universal_scheduler.adapters.dynamodb.passes import Passes
from universal_scheduler.adapters.dynamodb.tables import WRITE_PATIENCE_SECONDS
from universal_scheduler.domain.documents.upstreams import follows, upstreams_of

AFTER_PREFIX = "#after#"
"""Begins the partition key of a schedule's followers; the name of the schedule follows. The sort key is the follower's
scheduleId."""
FOLLOWERS_PASS = "#followers"
TRIGGER_NAMES = {"#trigger": "trigger"}  # a reserved word
TRIGGER: Any = {
    "ProjectionExpression": "scheduleId, #trigger, scheduleErrors",
    "ExpressionAttributeNames": TRIGGER_NAMES,
}
AFTER_NAMES = {**TRIGGER_NAMES, "#after": "after"}


class DynamoFollowers(Passes):
    """`ports.followers.Followers` over DynamoDB."""

    def followers(self, upstream: str) -> list[dict[str, Any]]:
        if not may_be_key(AFTER_PREFIX + upstream):
            return []
        rows = self._noted_followers(upstream) if self._ever_complete(FOLLOWERS_PASS) else self._all_rows(upstream)
        return sorted((row for row in rows if follows(row, upstream)), key=lambda row: str(row["scheduleId"]))

    def upstreams(self, names: Sequence[str]) -> dict[str, list[str]]:
        rows = self._triggers([name for name in names if may_be_key(name)])
        return {row["scheduleId"]: upstreams_of(row) for row in rows if "scheduleErrors" not in row}

    def add_follower(self, schedule_id: str, upstreams: Sequence[str]) -> None:
        self._put_followers((upstream, schedule_id) for upstream in upstreams)

    def remove_follower(self, schedule_id: str, upstreams: Sequence[str]) -> None:
        # The removal is a transaction with the check that the row's triggers are still those that were read: a row that
        # is put meanwhile, and then its followers, stay.
        key = to_item({"scheduleId": schedule_id})
        for upstream in upstreams:
            answer = self._client.get_item(TableName=self._schedules, Key=key, ConsistentRead=True, **TRIGGER)
            item = answer.get("Item", {})
            if upstream in upstreams_of(from_item(item)):
                continue
            unchanged: Any = {"TableName": self._schedules, "Key": key, "ExpressionAttributeNames": TRIGGER_NAMES}
            if "trigger" in item:
                unchanged |= {"ConditionExpression": "#trigger = :read"}
                unchanged |= {"ExpressionAttributeValues": {":read": item["trigger"]}}
            else:
                unchanged |= {"ConditionExpression": "attribute_not_exists(#trigger)"}
            gone = {"TableName": self._jobs, "Key": _key(upstream, schedule_id)}
            self._together({"ConditionCheck": unchanged}, {"Delete": gone})

    def check_followers(self, rows: int) -> bool:
        found, last = self._next_slice(
            FOLLOWERS_PASS,
            TableName=self._schedules,
            Limit=rows,
            FilterExpression="attribute_exists(#trigger.#after) OR attribute_type(#trigger, :list)",
            ExpressionAttributeValues=to_item({":list": "L"}),
            **TRIGGER | {"ExpressionAttributeNames": AFTER_NAMES},
        )
        wanted = {(upstream, row["scheduleId"]) for row in found for upstream in upstreams_of(row)}
        known = self._get_all(self._jobs, [_key(*each) for each in wanted])
        self._put_followers(wanted - {(row["runId"].removeprefix(AFTER_PREFIX), row["jobName"]) for row in known})
        return self._slice_done(FOLLOWERS_PASS, last)

    def _noted_followers(self, upstream: str) -> Iterable[dict[str, Any]]:
        """Their rows, as they are now."""
        noted = self._query(
            TableName=self._jobs,
            KeyConditionExpression="runId = :after",
            ExpressionAttributeValues=to_item({":after": AFTER_PREFIX + upstream}),
            ConsistentRead=True,
        )
        return self._triggers([row["jobName"] for row in noted])

    def _triggers(self, names: Sequence[str]) -> Iterable[dict[str, Any]]:
        keys = [to_item({"scheduleId": name}) for name in names]
        return self._get_all(self._schedules, keys, ConsistentRead=True, **TRIGGER)

    def _all_rows(self, upstream: str) -> Iterable[dict[str, Any]]:
        return self._scan(
            TableName=self._schedules,
            FilterExpression="contains(#trigger.#after, :upstream) OR attribute_type(#trigger, :list)",
            ExpressionAttributeValues=to_item({":upstream": upstream, ":list": "L"}),
            **TRIGGER | {"ExpressionAttributeNames": AFTER_NAMES},
        )

    def _put_followers(self, pairs: Iterable[tuple[str, str]]) -> None:
        put_items(self._client, self._jobs, [_key(*pair) for pair in pairs], WRITE_PATIENCE_SECONDS, self._sleep)


def _key(upstream: str, follower: str) -> dict[str, Any]:
    return to_item({"runId": AFTER_PREFIX + upstream, "jobName": follower})
