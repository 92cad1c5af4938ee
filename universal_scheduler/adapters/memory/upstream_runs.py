"""Which upstream runs a schedule has seen, in a dictionary."""

from __future__ import annotations

from collections.abc import Sequence

from universal_scheduler.adapters.memory.state import Memory
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.upstream_runs import UpstreamRuns


class MemoryUpstreamRuns(Memory):
    """`ports.upstream_runs` in a dictionary."""

    def upstream_runs(self, schedule_id: str, collection: str) -> UpstreamRuns:
        return self.seen_runs.get((schedule_id, collection), UpstreamRuns())

    def put_upstream_runs(self, schedule_id: str, collection: str, runs: UpstreamRuns) -> bool:
        with self._lock:
            if self.upstream_runs(schedule_id, collection).version != runs.version:
                return False
            self.seen_runs[schedule_id, collection] = replace(runs, version=runs.version + 1)
            return True

    def forget_upstream_runs(self, schedule_id: str, collections: Sequence[str]) -> None:
        for key in list(self.seen_runs):
            if key[0] == schedule_id and key[1].startswith(tuple(collections)):
                del self.seen_runs[key]
