"""Schedules in a dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from universal_scheduler.adapters.dynamodb.items import schedule_to_item
from universal_scheduler.adapters.memory.followers import MemoryFollowers
from universal_scheduler.domain.documents.upstreams import upstreams_of


class MemorySchedules(MemoryFollowers):
    """`ports.schedules` in dictionaries."""

    def get_schedule(self, schedule_id: str) -> dict[str, Any] | None:
        return deepcopy(self.schedules.get(schedule_id))

    def put_schedule(self, row: Mapping[str, Any]) -> bool:
        schedule_to_item(row)  # it has to fit
        new = row["scheduleId"] not in self.schedules
        self.schedules[row["scheduleId"]] = deepcopy(dict(row))
        self.add_follower(row["scheduleId"], upstreams_of(row))
        return new

    def record_schedule_errors(self, schedule_id: str, errors: Sequence[Mapping[str, str]]) -> None:
        row = self.schedules.get(schedule_id)
        if row is None:
            return
        row.pop("scheduleErrors", None)
        if errors:
            row["scheduleErrors"] = [dict(error) for error in errors]

    def list_schedules(self) -> list[dict[str, Any]]:
        return [deepcopy(self.schedules[key]) for key in sorted(self.schedules)]
