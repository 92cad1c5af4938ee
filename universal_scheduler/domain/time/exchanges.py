"""The days and hours of stock exchanges, from the tables in `exchange_days/`, which `tools/exchange_days.py` makes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from universal_scheduler.domain.time.calendars import BeyondHorizon
from universal_scheduler.domain.time.zones import time_zone

TABLES = files("universal_scheduler.domain.time").joinpath("exchange_days")


@cache
def exchange_codes() -> tuple[str, ...]:
    """The market identifier codes (ISO 10383) of the exchanges that have a table: XNYS, XLON and others."""
    return tuple(sorted(table.name.removesuffix(".json") for table in TABLES.iterdir() if table.name.endswith(".json")))


@cache
def exchange(code: str) -> ExchangeTable:
    """The exchange with this code.

    Raises:
        ValueError: there is no table for it.
    """
    if code not in exchange_codes():
        raise ValueError(f"'{code}' is no exchange that has a table")
    table: dict[str, Any] = json.loads(TABLES.joinpath(f"{code}.json").read_text(encoding="utf-8"))
    return ExchangeTable(
        code=code,
        name=table["name"],
        zone=time_zone(table["zone"]),
        first=date.fromisoformat(table["first"]),
        horizon=date.fromisoformat(table["horizon"]),
        weekend_days=frozenset(table["weekend"]),
        usual=tuple((date.fromisoformat(since), _hours(times)) for since, *times in table["hours"]),
        closed={date.fromisoformat(day): name for day, name in table["closed"].items()},
        worked=frozenset(map(date.fromisoformat, table["open"])),
        short={date.fromisoformat(day): _hours(times) for day, times in table["short"].items()},
    )


def _hours(times: list[str]) -> tuple[time, time]:
    opens, closes = map(time.fromisoformat, times)
    return opens, closes


@dataclass(frozen=True, slots=True)
class ExchangeTable:
    """One exchange, from its first known day to its horizon. A break at noon is not known."""

    code: str
    name: str
    zone: ZoneInfo
    first: date
    horizon: date
    """The last day that is known."""
    weekend_days: frozenset[int]
    """As `date.weekday` counts them: Monday is 0."""
    usual: tuple[tuple[date, tuple[time, time]], ...]
    """The hours, opening and close, since a day."""
    closed: dict[date, str] = field(hash=False)
    """The days without trade that are no weekend, with the reason."""
    worked: frozenset[date]
    """Days of a weekend with trade."""
    short: dict[date, tuple[time, time]] = field(hash=False)
    """Days with other hours than usual."""

    def holiday(self, day: date) -> str:
        """The holiday on this day; empty if there is none."""
        return self.closed.get(day, "")

    def is_weekend(self, day: date) -> bool:
        """Whether there is no trade, because it is a weekend."""
        return day.weekday() in self.weekend_days and day not in self.worked

    def works_weekend(self, day: date) -> bool:
        """Whether there is trade, although it is a weekend."""
        return day in self.worked

    def session(self, day: date) -> tuple[datetime, datetime] | None:
        """When the session of this local day opens and closes, in UTC; None if there is none.

        Raises:
            BeyondHorizon: the table does not have the day.
        """
        if not self.first <= day <= self.horizon:
            known = f"until {self.horizon}" if day > self.horizon else f"from {self.first}"
            raise BeyondHorizon(f"the days of {self.code} are known {known}")
        if self.is_weekend(day) or day in self.closed:
            return None
        opens, closes = self.short.get(day) or next(times for since, times in reversed(self.usual) if since <= day)
        # Clocks change at night, when no exchange trades, so that each time comes once.
        return self._moment(day, opens), self._moment(day, closes)

    def _moment(self, day: date, clock: time) -> datetime:
        return datetime.combine(day, clock, self.zone).astimezone(UTC)
