"""The expressions of time triggers that are no cron expressions: rates, single times, business days, exchange times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from universal_scheduler.domain.time.exchanges import ExchangeTable

LONGEST = 256
"""Characters of a ScheduleExpression:
https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html"""
SECONDS = {"minute": 60, "minutes": 60, "hour": 3600, "hours": 3600, "day": 86_400, "days": 86_400}
LONGEST_RATE = 36_500 * 86_400
RATE = re.compile(r"rate\(\s*(\S+)\s+(\S+)\s*\)")
AT = re.compile(r"at\(\s*([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\s*\)")


class TimeError(ValueError):
    """An expression says no time. Its text says what is wrong, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Every so many seconds, from the trigger's start on."""

    text: str
    """In AWS's form: `rate(5 minutes)`."""
    seconds: int


@dataclass(frozen=True, slots=True)
class At:
    """Once."""

    text: str
    """In AWS's form: `at(2026-12-24T18:00:00)`."""
    local: datetime
    """What the clock on the wall shows then, without a zone."""


@dataclass(frozen=True, slots=True)
class BusinessDay:
    """The nth business day of every month; -1 is the last."""

    number: int
    time: time


@dataclass(frozen=True, slots=True)
class ExchangeTime:
    """A time after (or before) the opening or closing of every session of an exchange."""

    name: str
    """XNYS"""
    at_close: bool
    offset: timedelta
    exchange: ExchangeTable


def read_rate(text: str) -> Rate:
    """Reads `rate(5 minutes)`. A day is 24 hours, also where clocks change.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#rate-based

    Raises:
        TimeError: it is none.
    """
    found = RATE.fullmatch(text.strip()) if len(text) <= LONGEST else None
    if found is None:
        raise TimeError("a rate is written rate(VALUE UNIT): rate(5 minutes)")
    value, unit = found[1], found[2]
    if unit not in SECONDS:
        raise TimeError(f"'{unit[:20]}' is no unit of a rate: write minutes, hours or days")
    if not re.fullmatch(r"[0-9]{1,9}", value):
        number = "a positive number" if value.startswith("-") else "a positive integer"
        raise TimeError(f"the value of a rate is {number}, not '{value[:20]}'")
    seconds = int(value) * SECONDS[unit]
    if not seconds:
        raise TimeError("the value of a rate is a positive number, not 0")
    if seconds > LONGEST_RATE:
        raise TimeError(f"a rate of {value} {unit} is longer than 36500 days")
    return Rate(f"rate({int(value)} {unit})", seconds)


def read_at(text: str) -> At:
    """Reads `at(2026-12-24T18:00:00)`.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#one-time

    Raises:
        TimeError: it is none, or there is no such day or time.
    """
    found = AT.fullmatch(text.strip()) if len(text) <= LONGEST else None
    if found is None:
        raise TimeError(
            "a single time is written at(YYYY-MM-DDThh:mm:ss), without a zone: at(2026-12-24T18:00:00). "
            "The zone goes into timezone"
        )
    try:
        local = datetime.fromisoformat(found[1])
    except ValueError:
        raise TimeError(f"there is no {found[1]}") from None
    if not 1970 <= local.year <= 2199:
        raise TimeError(f"the year {local.year:04} is out of range: write 1970 to 2199")
    return At(f"at({found[1]})", local)
