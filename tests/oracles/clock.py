"""When random time triggers start, found by looking at every minute of the clock: slow and obvious."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from universal_scheduler.domain.time.zones import time_zone

ZONES = (
    *("UTC", "Europe/Zurich", "Europe/Lisbon", "America/New_York", "America/Santiago", "Australia/Lord_Howe"),
    *("Asia/Kolkata", "Africa/Cairo", "Asia/Beirut", "Pacific/Chatham"),
)
DAYS_OF_WEEK = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class CronCase:
    """A cron trigger: as the document has it, and the minutes that it means."""

    trigger: dict[str, Any]
    zone: str
    minutes: frozenset[int]
    hours: frozenset[int]
    weekdays: frozenset[int]

    def starts(self, first: datetime, last: datetime) -> list[datetime]:
        """A time that the clocks jump over never comes here; one that comes twice counts the first time."""
        return [
            moment
            for moment, (minute, hour, weekday) in _clock(self.zone, first, last)
            if minute in self.minutes and hour in self.hours and weekday in self.weekdays
        ]


@dataclass(frozen=True, slots=True)
class RateCase:
    """A rate that begins at a given moment."""

    trigger: dict[str, Any]
    begin: datetime
    every: timedelta

    def starts(self, first: datetime, last: datetime) -> list[datetime]:
        found, moment = [], self.begin
        while moment <= last:
            found += [moment] * (moment > first)
            moment += self.every
        return found


Case = CronCase | RateCase


def random_case(chance: random.Random, first: datetime) -> Case:
    """Some start every few minutes, some every few hours, most once or twice a day."""
    if chance.random() < 0.1:
        every = chance.choice([7, 30, 90, 1440])
        begin = first + timedelta(minutes=chance.randint(-5000, 5000))
        unit = "minutes"
        written = {"rate": f"rate({every} {unit})", "startDate": begin.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return RateCase(written, begin, timedelta(minutes=every))
    zone = chance.choice(ZONES)
    match chance.choice(["often", "hours", "hours", "hours", "day", "day", "day", "day", "day"]):
        case "often":
            step = chance.choice([5, 10, 15, 20])
            minutes, minute_text = frozenset(range(0, 60, step)), f"0/{step}"
            hours, hour_text = _all_or_range(chance)
        case "hours":
            minute = chance.randrange(60)
            minutes, minute_text = frozenset({minute}), str(minute)
            hours, hour_text = _all_or_range(chance)
        case _:
            minute = chance.choice([0, 15, 30, 59, chance.randrange(60)])
            minutes, minute_text = frozenset({minute}), str(minute)
            picked = sorted(chance.sample([0, 1, 1, 2, 2, 3, 6, 12, 18, 23], chance.randint(1, 3)))
            hours, hour_text = frozenset(picked), ",".join(map(str, picked))
    weekdays, day_text = frozenset(range(7)), "*"
    if chance.random() < 0.3:
        low, high = sorted(chance.sample(range(7), 2))
        weekdays, day_text = frozenset(range(low, high + 1)), f"{DAYS_OF_WEEK[low]}-{DAYS_OF_WEEK[high]}"
        if high == 6:  # in AWS's order the week begins with Sunday
            day_text = ",".join(DAYS_OF_WEEK[low : high + 1])
    text = f"cron({minute_text} {hour_text} ? * {day_text} *)"
    return CronCase({"cron": text, "timezone": zone}, zone, minutes, hours, weekdays)


def _all_or_range(chance: random.Random) -> tuple[frozenset[int], str]:
    if chance.random() < 0.5:
        return frozenset(range(24)), "*"
    low, high = sorted(chance.sample(range(24), 2))
    return frozenset(range(low, high + 1)), f"{low}-{high}"


@cache
def _clock(zone_name: str, first: datetime, last: datetime) -> list[tuple[datetime, tuple[int, int, int]]]:
    """Every minute after `first` up to `last`, with what the clock on the wall shows; without those shown before."""
    return list(_minutes(time_zone(zone_name), first, last))


def _minutes(zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[tuple[datetime, tuple[int, int, int]]]:
    moment = first + MINUTE
    while moment <= last:
        wall = moment.astimezone(zone)
        if not wall.fold:
            yield moment.astimezone(UTC), (wall.minute, wall.hour, wall.weekday())
        moment += MINUTE
