"""The rows of schedules with triggers, in dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from universal_scheduler.adapters.memory.state import Memory


class MemoryTimeRows(Memory):
    """`ports.time_rows.TimeRows` in dictionaries."""

    def next_time_rows(self, rows: int, mend: Callable[[Sequence[Mapping[str, Any]]], None]) -> bool:
        left = [name for name in sorted(self.schedules) if name > self.time_rows_read]
        taken = left[:rows]
        mend([deepcopy(self.schedules[name]) for name in taken if "trigger" in self.schedules[name]])
        at_end = len(left) <= rows
        self.time_rows_read = "" if at_end else taken[-1]
        return at_end

    def time_rows(self, schedule_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        return {name: deepcopy(self.schedules[name]) for name in schedule_ids if name in self.schedules}

    def entries_page(self) -> str:
        return self.time_entries_page

    def entries_page_done(self, following: str) -> None:
        self.time_entries_page = following
