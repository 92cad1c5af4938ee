"""The embedded engine's EventBridge Scheduler in the test's own process, with a clock that the test sets."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from universal_scheduler.adapters.scheduler import SCHEDULED_TIME, EventBridgeTimeEntries
from universal_scheduler.local.gaps.scheduler import FiringClock, first_due
from universal_scheduler.local.gaps.scheduler_storage import SchedulerStorage
from universal_scheduler.local.state import Safety, State

GROUP = "usched"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:usched-due"


class EngineScheduler:
    """It keeps its entries in a folder. What it fires goes to `on_message`, as a queue would have it."""

    def __init__(self, folder: Path, clock: Callable[[], float], on_message: Callable[[dict[str, Any]], None]) -> None:
        self._clock, self._on_message = clock, on_message
        self.storage = SchedulerStorage(State(folder, Safety.PROCESS), lambda record: first_due(record, clock()))
        self.storage.read("PRAGMA synchronous=OFF")  # no test cuts the power
        self._firing = FiringClock(self.storage, clock, self._send)
        self.entries = EventBridgeTimeEntries(
            lambda: _Client(self), group=GROUP, queue=QUEUE, dead_letters=QUEUE, role="arn:aws:iam::123456789012:role/r"
        )

    def fire(self) -> int:
        """Fire all that is due. Answers how many entries have fired."""
        total = 0
        while fired := self._firing.fire():
            total += fired
        return total

    def next_due(self) -> float | None:
        return self.storage.next_due()

    def close(self) -> None:
        self.storage._file._connection.close()

    def _send(self, _key: tuple[str, ...], record: dict[str, Any], at: datetime) -> None:
        said = record["Target"]["Input"].replace(SCHEDULED_TIME, f"{at:%Y-%m-%dT%H:%M:%SZ}")
        self._on_message(json.loads(said))

    def key(self, name: str) -> tuple[str, str, str]:
        return "123456789012", "us-east-1", f"{GROUP}/{name}"


class _Client:
    """What boto3 answers, without the network between."""

    def __init__(self, scheduler: EngineScheduler) -> None:
        self._scheduler, self._kept = scheduler, scheduler.storage.schedules

    def create_schedule(self, **request: Any) -> None:
        for name in ("StartDate", "EndDate"):
            request[name] = request[name].timestamp() if name in request else None
        written = {"LastModificationDate": self._scheduler._clock()}
        self._kept[self._scheduler.key(request["Name"])] = request | written

    def delete_schedule(self, *, Name: str, GroupName: str) -> None:  # noqa: N803 - as boto3 calls them
        assert GroupName == GROUP
        self._kept.pop(self._scheduler.key(Name), None)

    def get_schedule(self, *, Name: str, GroupName: str) -> dict[str, Any]:  # noqa: N803
        assert GroupName == GROUP
        found = self._kept.get(self._scheduler.key(Name))
        if found is None:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSchedule")
        for name in ("StartDate", "EndDate"):
            if found[name] is not None:
                found[name] = datetime.fromtimestamp(found[name], UTC)
        return found

    def list_schedules(self, *, GroupName: str, MaxResults: int, NextToken: str = "") -> dict[str, Any]:  # noqa: N803
        account, region, _ = self._scheduler.key("")
        page = self._scheduler.storage.page(account, region, GroupName, NextToken)
        found = list(itertools.islice(page, MaxResults + 1))
        token = {"NextToken": found[MaxResults - 1][0]} if len(found) > MaxResults else {}
        return {"Schedules": [{"Name": each["Name"]} for _, each in found[:MaxResults]], **token}
