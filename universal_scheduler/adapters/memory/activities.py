"""What schedules are doing, in dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from universal_scheduler.adapters.memory.state import Memory
from universal_scheduler.domain.time.policies import Activity, LeftOut


class MemoryActivities(Memory):
    """`ports.activities` in dictionaries."""

    def activity(self, schedule_id: str) -> Activity:
        return self.activities.get(schedule_id, Activity())

    def write_activity(
        self, schedule_id: str, before: Activity, after: Activity, left_out: Sequence[LeftOut] = ()
    ) -> bool:
        with self._lock:
            if self.activity(schedule_id).version != before.version:
                return False
            self.activities[schedule_id] = replace(after, version=before.version + 1)
            self.left_outs.setdefault(schedule_id, {}).update({each.at: each for each in left_out})
            return True

    def forget_activity(self, schedule_id: str) -> None:
        self.activities.pop(schedule_id, None)

    def leave_out(self, schedule_id: str, left_out: LeftOut) -> None:
        self.left_outs.setdefault(schedule_id, {}).setdefault(left_out.at, left_out)

    def why_left_out(self, schedule_id: str, at: str) -> str:
        found = self.left_outs.get(schedule_id, {}).get(at)
        return "" if found is None else found.reason

    def left_out(self, schedule_id: str, limit: int, since: str = "") -> list[LeftOut]:
        found = self.left_outs.get(schedule_id, {})
        return [found[at] for at in sorted(found, reverse=True) if at >= since][:limit]
