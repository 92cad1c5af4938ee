"""The store over memory: its parts in one."""

from __future__ import annotations

from universal_scheduler.adapters.memory.activities import MemoryActivities
from universal_scheduler.adapters.memory.calendars import MemoryCalendars
from universal_scheduler.adapters.memory.listeners import MemoryListeners
from universal_scheduler.adapters.memory.operators import MemoryOperators
from universal_scheduler.adapters.memory.schedules import MemorySchedules
from universal_scheduler.adapters.memory.upstream_runs import MemoryUpstreamRuns
from universal_scheduler.adapters.memory.waits import MemoryWaits


class MemoryStore(
    MemorySchedules,
    MemoryUpstreamRuns,
    MemoryListeners,
    MemoryWaits,
    MemoryOperators,
    MemoryActivities,
    MemoryCalendars,
):
    """`ports.store` in dictionaries. Operators change runs and jobs, so `MemoryOperators` brings both."""
