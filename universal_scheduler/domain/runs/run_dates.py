"""The time that a run is for: its scheduled time and its business date, with offsets. It is pure.

A run that no time trigger has led to has neither: it is for the second of its start, and for the day of its start in
the schedule's time zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo

from universal_scheduler.domain.runs.model import Run
from universal_scheduler.domain.time.zones import time_zone

DATED = re.compile(r"run\.(scheduledTime|businessDate)(?:\s*([+-])\s*([0-9]{1,4})([a-z]+))?")
"""A reference to one of the two: its name; then the sign, the number and the unit of an offset, if there is one."""
UNITS: Mapping[str, Mapping[str, str]] = {
    "scheduledTime": {"d": "days", "h": "hours", "m": "minutes"},
    "businessDate": {"d": "days", "bd": "business days"},
}
"""The units of offsets. A day of `scheduledTime` has 24 hours."""
MOST_BUSINESS_DAYS = 366


def dated(run: Run, reference: str) -> str | None:
    """The value of a reference in the run, as text: `2026-11-21T05:00:00Z` or `2026-11-21`; None if it is another
    reference.

    Raises:
        ValueError: the offset leads out of the years 1 to 9999, or nobody knows the day.
    """
    found = DATED.fullmatch(reference)
    if found is None or (found[4] and found[4] not in UNITS[found[1]]):
        return None
    name, sign, number, unit = found.groups()
    if unit == "bd":
        day: str | None = run.cause.get("businessDays", {}).get(f"{int(sign + number):+d}")
        if day is None:
            raise ValueError(f"'{{{{{reference}}}}}' has no value: nobody knows this business day of the calendar")
        return day
    offset = timedelta(**{UNITS[name][unit]: int(sign + number)}) if unit else timedelta()
    try:
        if name == "businessDate":
            return (business_date(run) + offset).isoformat()
        return f"{(scheduled_time(run) + offset).replace(tzinfo=None).isoformat(timespec='seconds')}Z"
    except OverflowError:
        raise ValueError(f"'{{{{{reference}}}}}' is in no year from 1 to 9999") from None


def scheduled_time(run: Run) -> datetime:
    """The time that the run is for, in UTC."""
    given = run.cause.get("scheduledTime")
    return datetime.fromisoformat(given).astimezone(UTC) if given else _start(run)


def business_date(run: Run) -> date:
    """The day that the run is for."""
    given = run.cause.get("businessDate")
    return date.fromisoformat(given) if given else scheduled_time(run).astimezone(_zone(run)).date()


def _start(run: Run) -> datetime:
    """Of a run that the scheduler did not start, the start may be any text: then its end counts.

    Raises:
        ValueError: it has not ended.
    """
    try:
        start = datetime.fromisoformat(run.key.start)
    except ValueError:
        start = datetime.fromisoformat(run.ended_at)
    return start.replace(microsecond=0, tzinfo=UTC)


def _zone(run: Run) -> tzinfo:
    try:
        return time_zone(str(run.document.get("timezone", "UTC")))
    except ValueError:  # of a run whose row nobody has checked
        return UTC
