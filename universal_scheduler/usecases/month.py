"""A month of calendars and of the starts of a schedule, day by day: what `usched calendar` draws."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from universal_scheduler.domain.time.calendars import BeyondHorizon, Calendar
from universal_scheduler.domain.time.local_days import utc_text
from universal_scheduler.domain.time.starts import coming
from universal_scheduler.domain.time.triggers import TimeTrigger

FARTHEST = timedelta(days=2)
"""More than any local day is away from the same day in UTC."""


def month_view(
    name: str, calendars: Sequence[Calendar], triggers: Sequence[TimeTrigger], year: int, month: int
) -> dict[str, Any]:
    """A month as JSON: for each day why it is closed, and what starts on it, by the local days of the triggers.

    A day is `closed` where one of the calendars is, and `unknown` where one of them does not reach so far and none is
    closed. `trigger` is the place of the trigger in the document's list, from 0.
    """
    first, last = date(year, month, 1), date(year, month, monthrange(year, month)[1])
    days = {first + timedelta(days=place): _day(calendars, first + timedelta(days=place)) for place in range(last.day)}
    after = datetime.combine(first, time(), UTC) - FARTHEST
    for start in coming(triggers, after, datetime.combine(last, time(), UTC) + FARTHEST) if triggers else ():
        if (day := days.get(start.local.date())) is not None:
            moment = {"at": utc_text(start.at), "local": start.local.isoformat(), "trigger": start.trigger}
            if start.left_out:
                day["leftOut"].append(moment | {"reason": start.left_out})
            else:
                day["starts"].append(moment)
    horizon = min((calendar.horizon for calendar in calendars if calendar.horizon), default=None)
    known = {"horizon": horizon.isoformat()} if horizon else {}
    return {"name": name, "month": f"{first:%Y-%m}", **known, "days": list(days.values())}


def _day(calendars: Iterable[Calendar], day: date) -> dict[str, Any]:
    closed: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for calendar in calendars:
        try:
            closed[calendar.closed(day)] = None
        except BeyondHorizon as error:
            unknown[str(error)] = None
    why = "; ".join(filter(None, closed))
    return {
        "date": day.isoformat(),
        "closed": why,
        "unknown": "" if why else "; ".join(unknown),
        "starts": [],
        "leftOut": [],
    }
