"""The time that a run is for: its scheduled time and its business date. It is pure."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from universal_scheduler.domain.runs.model import Run
from universal_scheduler.domain.wall_clock import time_zone


def scheduled_time(run: Run) -> datetime:
    """When the run was to start, in UTC: the time of its trigger. A run that no time trigger has led to has none; for
    it, it is the second of its start."""
    given = run.cause.get("scheduledTime")
    if given:
        return datetime.fromisoformat(given).astimezone(UTC)
    return datetime.fromisoformat(run.key.start).replace(microsecond=0, tzinfo=UTC)


def business_date(run: Run) -> date:
    """The day that the run is for: what its trigger says. For a run that no time trigger has led to, it is the day of
    its start in the schedule's time zone."""
    given = run.cause.get("businessDate")
    return date.fromisoformat(given) if given else scheduled_time(run).astimezone(_zone(run)).date()


def _zone(run: Run) -> ZoneInfo:
    try:
        return time_zone(str(run.document.get("timezone", "UTC")))
    except ValueError:  # a row of a run that nobody has checked
        return time_zone("UTC")
