"""Calendars: which days are business days, and why a day is none. It is pure."""

from __future__ import annotations

from datetime import date, datetime
from typing import Protocol

from universal_scheduler.domain.errors import SchedulerError


class BeyondHorizon(SchedulerError):
    """Nobody knows yet whether this day is a business day."""


class Calendar(Protocol):
    """Which days are business days."""

    @property
    def horizon(self) -> date | None:
        """The last day that the calendar knows; None if it knows all."""

    def closed(self, day: date) -> str:
        """Why the day is no business day: `Saturday`, `Independence Day, US`; empty if it is one.

        Raises:
            BeyondHorizon: nobody knows.
        """

    def next_business_day(self, day: date) -> date:
        """The first business day on or after the day."""

    def previous_business_day(self, day: date) -> date:
        """The last business day on or before the day."""

    def add_business_days(self, day: date, count: int) -> date:
        """The business day that is so many business days after the day, or before it."""


class Exchange(Protocol):
    """The sessions of an exchange."""

    def session(self, day: date) -> tuple[datetime, datetime] | None:
        """When the session of this local day opens and closes, in UTC; None if there is none.

        Raises:
            BeyondHorizon: nobody knows.
        """
