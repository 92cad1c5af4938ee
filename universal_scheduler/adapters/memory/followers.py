"""Which schedules start after which: a set of names for each."""

from __future__ import annotations

from collections.abc import Sequence

from universal_scheduler.adapters.memory.state import Memory
from universal_scheduler.domain.documents.upstreams import follows, upstreams_of


class MemoryFollowers(Memory):
    """`ports.followers` in dictionaries."""

    def followers(self, upstream: str) -> list[str]:
        noted = self.noted_followers.get(upstream, ())
        return sorted(name for name in noted if follows(self.schedules.get(name, {}), upstream))

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
