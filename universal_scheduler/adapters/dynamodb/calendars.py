"""Calendars over DynamoDB: one row for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from universal_scheduler.adapters.dynamodb.items import from_item, may_be_key, to_item

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


class DynamoCalendars:
    """`ports.calendars.Calendars` over a boto3 client of DynamoDB."""

    def __init__(self, client: DynamoDBClient, *, table: str) -> None:
        self._client, self._table = client, table

    def get_calendars(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        found = {}
        for name in dict.fromkeys(names):  # of a schedule these are one or two
            if may_be_key(name):
                key = to_item({"calendarName": name})
                answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
                if "Item" in answer:
                    found[name] = from_item(answer["Item"])
        return found

    def put_calendar(self, row: Mapping[str, Any]) -> bool:
        answer = self._client.put_item(TableName=self._table, Item=to_item(row), ReturnValues="ALL_OLD")
        return not answer.get("Attributes")

    def list_calendars(self) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("scan").paginate(TableName=self._table)
        rows = [from_item(item) for page in pages for item in page["Items"]]
        return sorted(rows, key=lambda row: str(row["calendarName"]))
