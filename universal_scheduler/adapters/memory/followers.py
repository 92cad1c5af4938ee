"""Which schedules start after which: a set of names for each."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from universal_scheduler.adapters.memory.state import Memory
from universal_scheduler.domain.documents.upstreams import follows, upstreams_of

KEYS = ("scheduleId", "trigger")


class MemoryFollowers(Memory):
    """`ports.followers` in dictionaries."""

    def followers(self, upstream: str) -> list[dict[str, Any]]:
        rows = (self.schedules.get(name, {}) for name in sorted(self.noted_followers.get(upstream, ())))
        return [deepcopy({key: row[key] for key in KEYS}) for row in rows if follows(row, upstream)]

    def upstreams(self, names: Sequence[str]) -> dict[str, list[str]]:
        rows = {name: self.schedules[name] for name in names if name in self.schedules}
        return {name: upstreams_of(row) for name, row in rows.items() if "scheduleErrors" not in row}

    def add_follower(self, schedule_id: str, upstreams: Sequence[str]) -> None:
        for upstream in upstreams:
            self.noted_followers.setdefault(upstream, set()).add(schedule_id)

    def remove_follower(self, schedule_id: str, upstreams: Sequence[str]) -> None:
        for upstream in set(upstreams) - set(upstreams_of(self.schedules.get(schedule_id))):
            self.noted_followers.get(upstream, set()).discard(schedule_id)

    def check_followers(self, rows: int) -> bool:
        del rows  # all of them: they are in memory
        for schedule_id, row in self.schedules.items():
            self.add_follower(schedule_id, upstreams_of(row))
        return True
