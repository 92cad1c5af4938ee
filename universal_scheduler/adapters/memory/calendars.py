"""Calendars in a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from universal_scheduler.adapters.memory.state import Memory


class MemoryCalendars(Memory):
    """`ports.calendars` in a dictionary."""

    def get_calendars(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        return {name: deepcopy(self.calendars[name]) for name in dict.fromkeys(names) if name in self.calendars}

    def put_calendar(self, row: Mapping[str, Any]) -> bool:
        new = row["calendarName"] not in self.calendars
        self.calendars[row["calendarName"]] = deepcopy(dict(row))
        return new

    def list_calendars(self) -> list[dict[str, Any]]:
        return [deepcopy(self.calendars[name]) for name in sorted(self.calendars)]
