"""The rows of schedules with triggers, over DynamoDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from universal_scheduler.adapters.dynamodb.items import may_be_key, to_item
from universal_scheduler.adapters.dynamodb.passes import PASSES_KEY, Passes

TIME_ROWS_PASS, ENTRIES_PASS = "#time-rows", "#time-entries"
NAMES = {"#trigger": "trigger", "#timezone": "timezone"}  # reserved words
SHOWN = (
    *("scheduleId", "#trigger", "#timezone", "spread", "scheduleErrors"),
    *("overlap", "maxConcurrentRuns", "catchUp", "pauseAfterFailures"),
)
PROJECTION = {"ProjectionExpression": ", ".join(SHOWN)}


class DynamoTimeRows(Passes):
    """`ports.time_rows.TimeRows` over DynamoDB."""

    def next_time_rows(self, rows: int, mend: Callable[[Sequence[Mapping[str, Any]]], None]) -> bool:
        found, last = self._next_slice(
            TIME_ROWS_PASS,
            TableName=self._schedules,
            Limit=rows,
            FilterExpression="attribute_exists(#trigger)",
            ExpressionAttributeNames=NAMES,
            **PROJECTION,
        )
        mend(found)
        self._slice_done(TIME_ROWS_PASS, last)
        return last is None

    def time_rows(self, schedule_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        keys = [to_item({"scheduleId": name}) for name in schedule_ids if may_be_key(name)]
        found = self._get_all(self._schedules, keys, ConsistentRead=True, ExpressionAttributeNames=NAMES, **PROJECTION)
        return {row["scheduleId"]: row for row in found}

    def entries_page(self) -> str:
        return str(self._pass(ENTRIES_PASS).get("page", ""))

    def entries_page_done(self, following: str) -> None:
        key = {"runId": PASSES_KEY, "jobName": ENTRIES_PASS}
        self._update(self._jobs, key, "SET page = :page", {":page": following}, "")
