"""What schedules are doing: the runs that go on, the firings that wait, and those that were left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from universal_scheduler.domain.time.policies import Activity, LeftOut


class Activities(Protocol):
    """One row for each schedule whose policies need it. What it costs does not depend on how many runs there were."""

    def activity(self, schedule_id: str) -> Activity:
        """What the schedule is doing; an empty one if nobody has written it."""
        ...

    def write_activity(
        self, schedule_id: str, before: Activity, after: Activity, left_out: Sequence[LeftOut] = ()
    ) -> bool:
        """Write what the schedule is doing, and what is left out with it. False if it has changed since `before`."""
        ...

    def forget_activity(self, schedule_id: str) -> None:
        """The schedule was removed: nothing waits any more."""
        ...

    def leave_out(self, schedule_id: str, left_out: LeftOut) -> None:
        """Keep that starts were left out, and why. What was kept before of the same start stays."""
        ...

    def why_left_out(self, schedule_id: str, at: str) -> str:
        """Why the start that was due at this time (`2026-11-21T06:00:00Z`) was left out by `leave_out`; empty if it was
        not."""
        ...

    def left_out(self, schedule_id: str, limit: int, since: str = "") -> list[LeftOut]:
        """The newest starts that were left out, newest first, at most `limit`: those due at `since` or later
        (`2026-11-21T06:00:00Z`). They are kept for 90 days."""
        ...
