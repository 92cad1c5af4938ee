"""Which schedules listen to which events, over DynamoDB: the jobs table has an item for each name of a topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from universal_scheduler.adapters.dynamodb.bulk_write import put_items
from universal_scheduler.adapters.dynamodb.items import may_be_key, to_item
from universal_scheduler.adapters.dynamodb.tables import WRITE_PATIENCE_SECONDS
from universal_scheduler.adapters.dynamodb.time_rows import DynamoTimeRows
from universal_scheduler.domain.names import digest

LISTENERS_PREFIX, OBJECTS_PREFIX = "#listeners#", "#objects#"
"""Begin the partition keys of the listeners of a topic, and of the newest objects of a schedule."""


class DynamoListeners(DynamoTimeRows):
    """`ports.listeners.Listeners` over DynamoDB."""

    def listeners(self, topic: str) -> list[Mapping[str, Any]]:
        noted = self._query(
            TableName=self._jobs,
            KeyConditionExpression="runId = :topic",
            ExpressionAttributeValues=to_item({":topic": LISTENERS_PREFIX + topic}),
            ConsistentRead=True,
        )
        rows = self.time_rows([row["jobName"] for row in noted])
        return [rows[name] for name in sorted(rows)]

    def add_listener(self, schedule_id: str, topics: Sequence[str]) -> None:
        if may_be_key(schedule_id):
            items = [_listener(topic, schedule_id) for topic in topics]
            put_items(self._client, self._jobs, items, WRITE_PATIENCE_SECONDS, self._sleep)

    def remove_listener(self, schedule_id: str, topics: Sequence[str]) -> None:
        for topic in topics:
            self._conditional("delete_item", TableName=self._jobs, Key=_listener(topic, schedule_id))

    def newest_object(self, schedule_id: str, trigger: int, key: str, order: str) -> bool:
        return self._update(
            self._jobs,
            _object(schedule_id, trigger, key),
            "SET newest = :order",
            {":order": order},
            "attribute_not_exists(newest) OR newest <= :order",
        )

    def is_newest_object(self, schedule_id: str, trigger: int, key: str, order: str) -> bool:
        kept = self._get(self._jobs, _object(schedule_id, trigger, key))
        return kept is None or str(kept["newest"]) <= order


def _listener(topic: str, schedule_id: str) -> dict[str, Any]:
    return to_item({"runId": LISTENERS_PREFIX + topic, "jobName": schedule_id})


def _object(schedule_id: str, trigger: int, key: str) -> dict[str, str]:
    """A key of S3 may be as long as a sort key may be, so its fingerprint stands for it."""
    return {"runId": OBJECTS_PREFIX + schedule_id, "jobName": f"{trigger}#{digest(key, length=32)}"}
