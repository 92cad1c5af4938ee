"""The scheduler's tables: one way to read a row, and one way to write a row with a condition."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from universal_scheduler.adapters.dynamodb.bulk_write import Patience, write_if, write_together
from universal_scheduler.adapters.dynamodb.items import from_item, to_item
from universal_scheduler.domain.runs.model import RunKey

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


READ_CHUNK = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""
WRITE_PATIENCE_SECONDS = 30.0
"""How long a call waits in all for refused writes. A function has a minute."""


class Tables:
    """The scheduler's tables, for the parts of the store."""

    def __init__(
        self,
        client: DynamoDBClient,
        *,
        schedules: str,
        history: str,
        jobs: str,
        calendars: str = "BatchCalendars",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._sleep = client, sleep
        self._schedules, self._history, self._jobs, self._calendars = schedules, history, jobs, calendars

    def _get(self, table: str, key: Mapping[str, str]) -> dict[str, Any] | None:
        answer = self._client.get_item(TableName=table, Key=to_item(key), ConsistentRead=True)
        return from_item(answer["Item"]) if "Item" in answer else None

    def _get_all(self, table: str, keys: Sequence[Any], **options: Any) -> Iterator[dict[str, Any]]:
        """The rows of these keys (DynamoDB's, each once), in any order; those that there are not are left out."""
        for start in range(0, len(keys), READ_CHUNK):
            pending: Any = {table: {"Keys": keys[start : start + READ_CHUNK], **options}}
            while pending:
                answer = self._client.batch_get_item(RequestItems=pending)
                yield from map(from_item, answer["Responses"].get(table, ()))
                pending = answer.get("UnprocessedKeys")

    def _update(
        self, table: str, key: Mapping[str, str], expression: str, values: Mapping[str, Any], condition: str
    ) -> bool:
        given: dict[str, Any] = {"ExpressionAttributeValues": to_item(values)} if values else {}
        given |= {"ConditionExpression": condition} if condition else {}
        return self._conditional(
            "update_item",
            TableName=table,
            Key=to_item(key),
            UpdateExpression=expression,
            **given,
        )

    def _conditional(self, operation: str, **request: Any) -> bool:
        patience = Patience(WRITE_PATIENCE_SECONDS, self._sleep)
        return write_if(lambda: getattr(self._client, operation)(**request), patience)

    def _together(self, *writes: Any) -> bool:
        return write_together(self._client, writes, WRITE_PATIENCE_SECONDS, self._sleep)

    def _query(self, **request: Any) -> Iterator[dict[str, Any]]:
        for page in self._client.get_paginator("query").paginate(**request):
            yield from map(from_item, page["Items"])

    def _scan(self, **request: Any) -> Iterator[dict[str, Any]]:
        for page in self._client.get_paginator("scan").paginate(**request):
            yield from map(from_item, page["Items"])


def difference(old: Mapping[str, Any], new: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """The expressions of an update that turns the row `old` into `new`, on condition that the row has the values in
    `expected`."""
    changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    put = [key for key in changed if new.get(key) is not None]
    gone = [key for key in changed if new.get(key) is None]
    update = ("SET " + ", ".join(f"#{key} = :new_{key}" for key in put)) if put else ""
    update += (" REMOVE " + ", ".join(f"#{key}" for key in gone)) if gone else ""
    conditions = [
        f"attribute_not_exists(#{key})" if value is None else f"#{key} = :old_{key}" for key, value in expected.items()
    ]
    values = {f":new_{key}": new[key] for key in put} | {f":old_{key}": value for key, value in expected.items()}
    return {
        "UpdateExpression": update,
        "ConditionExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": {f"#{key}": key for key in {*changed, *expected}},
        "ExpressionAttributeValues": to_item(values),
    }


def run_key(key: RunKey) -> dict[str, str]:
    return {"scheduleId": key.schedule_id, "startDateTime": key.start}
