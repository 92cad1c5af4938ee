"""The store: every port over the scheduler's own tables in one."""

from __future__ import annotations

from typing import Protocol

from universal_scheduler.ports.followers import Followers
from universal_scheduler.ports.jobs import Jobs
from universal_scheduler.ports.operators import Operators
from universal_scheduler.ports.runs import Runs
from universal_scheduler.ports.schedules import Schedules
from universal_scheduler.ports.waits import Waits


class Store(Schedules, Followers, Runs, Jobs, Waits, Operators, Protocol):
    """All that the scheduler's own tables keep, for use cases that need several parts of it."""
