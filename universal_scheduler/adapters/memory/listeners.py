"""Which schedules listen to which events, in dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from universal_scheduler.adapters.memory.time_rows import MemoryTimeRows


class MemoryListeners(MemoryTimeRows):
    """`ports.listeners.Listeners` in dictionaries."""

    def listeners(self, topic: str) -> list[Mapping[str, Any]]:
        rows = self.time_rows(sorted(self.noted_listeners.get(topic, ())))
        return list(rows.values())

    def add_listener(self, schedule_id: str, topics: Sequence[str]) -> None:
        for topic in topics:
            self.noted_listeners.setdefault(topic, set()).add(schedule_id)

    def remove_listener(self, schedule_id: str, topics: Sequence[str]) -> None:
        for topic in topics:
            self.noted_listeners.get(topic, set()).discard(schedule_id)

    def newest_object(self, schedule_id: str, trigger: int, key: str, order: str) -> bool:
        if not self.is_newest_object(schedule_id, trigger, key, order):
            return False
        self.newest_objects[schedule_id, trigger, key] = order
        return True

    def is_newest_object(self, schedule_id: str, trigger: int, key: str, order: str) -> bool:
        return self.newest_objects.get((schedule_id, trigger, key), "") <= order
