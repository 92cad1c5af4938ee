"""The store: all ports over the scheduler's own tables in one."""

from __future__ import annotations

from typing import Protocol

from universal_scheduler.ports.activities import Activities
from universal_scheduler.ports.calendars import Calendars
from universal_scheduler.ports.followers import Followers
from universal_scheduler.ports.jobs import Jobs
from universal_scheduler.ports.listeners import Listeners
from universal_scheduler.ports.operators import Operators
from universal_scheduler.ports.runs import Runs
from universal_scheduler.ports.schedules import Schedules
from universal_scheduler.ports.time_rows import TimeRows
from universal_scheduler.ports.upstream_runs import SeenRuns
from universal_scheduler.ports.waits import Waits


class Store(
    Schedules, Followers, Listeners, TimeRows, SeenRuns, Runs, Jobs, Waits, Operators, Activities, Calendars, Protocol
):
    """All data in the scheduler's own tables, for use cases that need several kinds of it."""
