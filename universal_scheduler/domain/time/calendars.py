"""Calendars: which days are business days, why the others are none, and until when anybody knows."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Protocol

from universal_scheduler.domain.errors import SchedulerError

WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
"""As documents write them, in the order of `date.weekday`."""
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SATURDAY_AND_SUNDAY = frozenset({5, 6})


class BeyondHorizon(SchedulerError):
    """Nobody knows whether this day is a business day."""


class Days(Protocol):
    """Days that somebody publishes: the holidays of a country, or the days of an exchange."""

    @property
    def code(self) -> str: ...

    @property
    def first(self) -> date: ...

    @property
    def horizon(self) -> date: ...

    def holiday(self, day: date) -> str:
        """The name of the holiday on this day; empty if there is none."""
        ...

    def is_weekend(self, day: date) -> bool: ...

    def works_weekend(self, day: date) -> bool:
        """Whether this is a working day, although it is a day of the weekend."""
        ...


class Exchange(Days, Protocol):
    """The days and the sessions of an exchange."""

    def session(self, day: date) -> tuple[datetime, datetime] | None:
        """When the session of this local day opens and closes, in UTC; None if there is none.

        Raises:
            BeyondHorizon: nobody knows.
        """
        ...


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days are business days.

    The own lists come first: `on`, then `off`. Then come the published days, then the weekend.
    """

    name: str = ""
    """Its name in the table; empty if it stands in a trigger."""
    weekend: Set[int] | None = None
    """As `date.weekday` counts them. None: as the published days say; without any, Saturday and Sunday."""
    published: tuple[Days, ...] = ()
    off: Mapping[date, str] = field(default_factory=dict)
    """The days off of the own list, each with its name, which may be empty."""
    on: Set[date] = frozenset()
    """The days that are business days whatever else says no."""
    until: date | None = None
    """The last day that the own lists know of; None if they are complete."""

    @property
    def horizon(self) -> date | None:
        """The last day of which it is known whether it is a business day. None: there is no such limit."""
        known = [days.horizon for days in self.published]
        return min([*known, self.until] if self.until is not None else known, default=None)

    @property
    def label(self) -> str:
        """What to call it: its name, or what it is made of."""
        return self.name or ", ".join(days.code for days in self.published) or "the calendar"

    def closed(self, day: date) -> str:
        """Why this is no business day; empty if it is one.

        Raises:
            BeyondHorizon: nobody knows.
        """
        if day in self.on:
            return ""
        if day in self.off:
            return f"{self.off[day] or 'a day off'}, {self.label}"
        self._demand_known(day)
        for days in self.published:
            if name := days.holiday(day):
                return f"{name}, {days.code}"
        return DAY_NAMES[day.weekday()] if self._is_weekend(day) else ""

    def next_business_day(self, day: date) -> date:
        """This day if it is a business day, else the first one after it.

        Raises:
            BeyondHorizon: as `closed`.
        """
        return self._nearest(day, 1)

    def previous_business_day(self, day: date) -> date:
        """This day if it is a business day, else the last one before it.

        Raises:
            BeyondHorizon: as `closed`.
        """
        return self._nearest(day, -1)

    def add_business_days(self, day: date, count: int) -> date:
        """The business day that is `count` business days after this day, or before it where `count` is negative.

        0 gives this day, or the next business day where it is none.

        Raises:
            BeyondHorizon: as `closed`.
        """
        step = 1 if count >= 0 else -1
        if not count:
            return self.next_business_day(day)
        for _ in range(abs(count)):
            day = self._nearest(self._after(day, step), step)
        return day

    def business_day_of_month(self, year: int, month: int, nth: int) -> date | None:
        """The nth business day of a month; the last is -1. None if the month has not so many.

        Raises:
            BeyondHorizon: as `closed`.
        """
        days = [date(year, month, day) for day in range(1, monthrange(year, month)[1] + 1)]
        left = abs(nth)
        for day in days if nth > 0 else reversed(days):
            left -= not self.closed(day)
            if not left:
                return day
        return None

    def _nearest(self, day: date, step: int) -> date:
        while self.closed(day):
            day = self._after(day, step)
        return day

    def _after(self, day: date, step: int) -> date:
        try:
            return day + timedelta(days=step)
        except OverflowError:
            raise BeyondHorizon("no calendar goes beyond the years 1 to 9999") from None

    def _is_weekend(self, day: date) -> bool:
        if any(days.works_weekend(day) for days in self.published):
            return False
        if self.weekend is not None or not self.published:
            return day.weekday() in (SATURDAY_AND_SUNDAY if self.weekend is None else self.weekend)
        return any(days.is_weekend(day) for days in self.published)

    def _demand_known(self, day: date) -> None:
        for days in self.published:
            if not days.first <= day <= days.horizon:
                known = f"until {days.horizon}" if day > days.horizon else f"from {days.first}"
                raise BeyondHorizon(f"the days of {days.code} are known {known}")
        if self.until is not None and day > self.until:
            raise BeyondHorizon(f"the days of {self.label} are known until {self.until}")
