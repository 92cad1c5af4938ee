"""When a schedule starts, and why it does not start at other times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from importlib import import_module
from typing import Any

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.errors import InvalidRow, InvalidSchedule, ScheduleNotFound
from universal_scheduler.domain.time.entries import RATE_ANCHOR
from universal_scheduler.domain.time.local_days import utc_text
from universal_scheduler.domain.time.starts import Start, coming
from universal_scheduler.domain.time.triggers import TimeTrigger, read_triggers
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.timetable import Calendars, calendar_names

DEFAULT_COUNT, MOST_STARTS = 10, 10_000
"""How many starts an answer has if nobody says it, and at most."""
MOST_LEFT_OUT = 1000
"""After so many starts that are left out the answer ends: a calendar may be closed for years."""
DAY = re.compile(r"\d{4}-?\d{2}-?\d{2}|\d{4}-?W\d{2}-?\d")
YEARS = range(1970, 2200)
"""As far as expressions of EventBridge Scheduler go.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html"""
INSTANT = timedelta(microseconds=1)
FARTHEST = timedelta(days=2)
"""More than any local day is away from the same day in UTC."""

Bound = date | datetime
"""A moment (with its zone), or a local day of the trigger's zone."""


class NoTime(ValueError):
    """A text that is neither a date nor a time."""


def read_bound(text: str) -> Bound:
    """Read `2026-11-21`, a local day of each trigger's zone, or `2026-11-21T06:00:00Z`, a moment (UTC if it has no
    zone).

    Raises:
        NoTime: it is neither.
    """
    try:
        read = datetime.fromisoformat(text)
        moment = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NoTime(f"'{text}' is not a time: write 2026-11-21 or 2026-11-21T06:00:00Z") from None
    if moment.year not in YEARS:
        raise NoTime(f"'{text}' is not in the years {YEARS[0]} to {YEARS[-1]}")
    return read.date() if DAY.fullmatch(text) else moment


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time. A day belongs to it as a whole; of two moments, the first belongs to it and the last does not."""

    first: Bound
    last: Bound | None = None
    """None means without an end."""

    @property
    def after(self) -> datetime:
        """A moment before all of the span."""
        return (self.first if isinstance(self.first, datetime) else _midnight(self.first) - FARTHEST) - INSTANT

    @property
    def until(self) -> datetime | None:
        """A moment after which nothing belongs to the span."""
        if self.last is None:
            return None
        return self.last - INSTANT if isinstance(self.last, datetime) else _midnight(self.last) + FARTHEST

    def has(self, start: Start) -> bool:
        """Whether a start between `after` and `until` belongs to the span: of days, its own zone decides."""
        day = start.local.date()
        early = not isinstance(self.first, datetime) and day < self.first
        late = self.last is not None and not isinstance(self.last, datetime) and day > self.last
        return not early and not late


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def starts_in(triggers: Sequence[TimeTrigger], span: Span) -> Iterator[Start]:
    """The starts of a span in order, those that are left out too."""
    return (start for start in coming(triggers, span.after, span.until) if span.has(start))


def checked_triggers(row: Mapping[str, Any], calendars: Calendars) -> tuple[TimeTrigger, ...]:
    """The time triggers of a row; `calendars` answers the calendars of the stage that it names.

    Raises:
        InvalidSchedule: the row is not valid, or names a calendar that there is not.
    """
    if errors := find_errors(row):
        raise InvalidSchedule(errors)
    return read_triggers(row.get("trigger", []), row.get("timezone", ""), calendars(calendar_names(row)), RATE_ANCHOR)


def starts_of_stored(
    store: Store, calendars: Calendars, schedule_id: str, span: Span, count: int | None
) -> tuple[dict[str, Any], list[Start]]:
    """The row of a stored schedule, and its next starts.

    Raises:
        ScheduleNotFound: there is no such schedule.
        InvalidRow: its row is not valid, so that it does not start.
    """
    row = store.get_schedule(schedule_id)
    if row is None:
        raise ScheduleNotFound(schedule_id)
    row.pop("scheduleErrors", None)
    try:
        triggers = checked_triggers(row, calendars)
    except InvalidSchedule as invalid:
        raise InvalidRow(schedule_id, invalid.errors) from None
    return row, upcoming(triggers, span, count, str(store.paused(schedule_id) or ""))


def read_query(given: Mapping[str, str], now: datetime) -> tuple[Span, int | None]:
    """The span and the number of starts that the parameters of a request ask for.

    Raises:
        NoTime: a parameter is unknown, or is no time or no number.
    """
    if unknown := [name for name in given if name not in ("n", "from", "to")]:
        raise NoTime(f"'{unknown[0][:100]}' is no parameter of this route")
    first, last = given.get("from"), given.get("to")
    count = DEFAULT_COUNT if last is None else None
    if "n" in given:
        if not re.fullmatch(r"[1-9][0-9]{0,4}", given["n"]) or int(given["n"]) > MOST_STARTS:
            raise NoTime(f"n is a whole number from 1 to {MOST_STARTS:,}")
        count = int(given["n"])
    return Span(now if first is None else read_bound(first), None if last is None else read_bound(last)), count


def upcoming(
    triggers: Sequence[TimeTrigger], span: Span, count: int | None = DEFAULT_COUNT, paused: str = ""
) -> list[Start]:
    """The next `count` starts of a span (None: all, of a span that ends), and those that are left out among them.

    `paused` says who has paused the schedule, and why. Then no trigger starts it, so that all are left out.
    """
    found: list[Start] = []
    left_out = 0
    most = MOST_STARTS if count is None else min(count, MOST_STARTS)
    for start in starts_in(triggers, span):
        counts = not start.left_out
        found.append(_paused(start, paused) if paused and counts else start)
        left_out += not counts
        if len(found) - left_out >= most or left_out >= MOST_LEFT_OUT:
            break
    return found


def is_cut(found: Sequence[Start], count: int | None) -> bool:
    """Whether there may be more starts than an answer has, although more were asked for."""
    left_out = sum(bool(start.left_out) for start in found)
    return left_out >= MOST_LEFT_OUT or (count is None and len(found) - left_out >= MOST_STARTS)


def _paused(start: Start, paused: str) -> Start:
    return replace(start, left_out=f"the schedule is paused {paused}")


def upcoming_view(found: Sequence[Start]) -> dict[str, Any]:
    """The answer as JSON. `trigger` is the place of the trigger in the document's list, from 0."""
    return {
        "starts": [_moment(start) | {"trigger": start.trigger} for start in found if not start.left_out],
        "leftOut": [_moment(start) | {"reason": start.left_out} for start in found if start.left_out],
        "tzdata": tzdata_version(),
    }


def tzdata_version() -> str:
    """The version of the package with the time zones: `2026.6`."""
    return str(import_module("tzdata").__version__)


def _moment(start: Start) -> dict[str, Any]:
    return {"at": utc_text(start.at), "local": start.local.isoformat(timespec="seconds")}
