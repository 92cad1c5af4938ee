"""Calendars in a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any


class MemoryCalendars:
    """`ports.calendars` in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def get_calendars(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        return {name: deepcopy(self.rows[name]) for name in dict.fromkeys(names) if name in self.rows}

    def put_calendar(self, row: Mapping[str, Any]) -> bool:
        new = row["calendarName"] not in self.rows
        self.rows[row["calendarName"]] = deepcopy(dict(row))
        return new

    def list_calendars(self) -> list[dict[str, Any]]:
        return [deepcopy(self.rows[name]) for name in sorted(self.rows)]
