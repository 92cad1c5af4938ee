"""Schedules over DynamoDB: one row for each. With the row, the schedule is written as a follower of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from universal_scheduler.adapters.dynamodb.followers import DynamoFollowers
from universal_scheduler.adapters.dynamodb.items import may_be_key, schedule_to_item
from universal_scheduler.domain.documents.upstreams import upstreams_of


class DynamoSchedules(DynamoFollowers):
    """`ports.schedules.Schedules` over DynamoDB."""

    def get_schedule(self, schedule_id: str) -> dict[str, Any] | None:
        return self._get(self._schedules, {"scheduleId": schedule_id}) if may_be_key(schedule_id) else None

    def put_schedule(self, row: Mapping[str, Any]) -> bool:
        answer = self._client.put_item(TableName=self._schedules, Item=schedule_to_item(row), ReturnValues="ALL_OLD")
        self.add_follower(row["scheduleId"], upstreams_of(row))
        return not answer.get("Attributes")

    def record_schedule_errors(self, schedule_id: str, errors: Sequence[Mapping[str, str]]) -> None:
        kept = list(errors)
        while True:
            change = ("SET scheduleErrors = :e", {":e": kept}) if kept else ("REMOVE scheduleErrors", {})
            try:
                self._update(self._schedules, {"scheduleId": schedule_id}, *change, "attribute_exists(scheduleId)")
            except ClientError as error:
                if not kept or not _over_the_item_limit(error):
                    raise
                kept = kept[: len(kept) // 2]
            else:
                return

    def list_schedules(self) -> list[dict[str, Any]]:
        return sorted(self._scan(TableName=self._schedules), key=lambda row: str(row["scheduleId"]))


def _over_the_item_limit(error: ClientError) -> bool:
    """DynamoDB has no code of its own for it: "Item size to update has exceeded the maximum allowed size"."""
    details = error.response.get("Error", {})
    return details.get("Code") == "ValidationException" and "size" in details.get("Message", "")
