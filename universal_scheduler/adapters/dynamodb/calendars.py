"""Calendars over DynamoDB: one row for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from universal_scheduler.adapters.dynamodb.items import may_be_key, to_item
from universal_scheduler.adapters.dynamodb.tables import Tables


class DynamoCalendars(Tables):
    """`ports.calendars.Calendars` over DynamoDB."""

    def get_calendars(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        # A schedule names one or two.
        found = {name: self._get(self._calendars, {"calendarName": name}) for name in names if may_be_key(name)}
        return {name: row for name, row in found.items() if row is not None}

    def put_calendar(self, row: Mapping[str, Any]) -> bool:
        answer = self._client.put_item(TableName=self._calendars, Item=to_item(row), ReturnValues="ALL_OLD")
        return not answer.get("Attributes")

    def list_calendars(self) -> list[dict[str, Any]]:
        return sorted(self._scan(TableName=self._calendars), key=lambda row: str(row["calendarName"]))
