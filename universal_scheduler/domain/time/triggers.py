"""The time triggers of a schedule: reads them from the document's `trigger`. It is pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from universal_scheduler.domain.documents.calendars import calendar_errors, exchange_errors, read_calendar
from universal_scheduler.domain.documents.durations import duration_seconds
from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError, InvalidSchedule, did_you_mean
from universal_scheduler.domain.time.calendars import Calendar
from universal_scheduler.domain.time.cron import Cron, read_cron
from universal_scheduler.domain.time.exchanges import exchange
from universal_scheduler.domain.time.expressions import (
    At,
    BusinessDay,
    ExchangeTime,
    Rate,
    TimeError,
    read_at,
    read_rate,
)
from universal_scheduler.domain.time.local_days import local_day, moment
from universal_scheduler.domain.time.unix_cron import to_aws
from universal_scheduler.domain.time.zones import time_zone, time_zone_names

__all__ = [
    "OPTIONS",
    "At",
    "BusinessDay",
    "Calendar",
    "Cron",
    "ExchangeTime",
    "Expression",
    "OnDst",
    "Rate",
    "Roll",
    "TimeError",
    "TimeTrigger",
    "read_expression",
    "read_triggers",
    "time_errors",
]


class Roll(StrEnum):
    """What happens to a start on a day that is no business day."""

    SKIP = "skip"
    NEXT = "next"
    PREVIOUS = "previous"


class OnDst(StrEnum):
    """Whose rule says what happens to the times that clocks jump over or show twice.

    AWS: a time in the gap does not start, and a time that comes twice starts at the first.
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#daylist-savings-time
    CRON, Debian's: where minute or hour is * or */n, it starts whenever clocks show a matching time. Any other time in
    a gap starts at its end, and one that comes twice starts at the first. A change of three hours or more is none of
    daylight saving: what clocks show counts. https://manpages.debian.org/bookworm/cron/cron.8.en.html
    BOTH: a time in the gap does not start, and a time that comes twice starts twice.
    """

    AWS = "aws"
    CRON = "cron"
    BOTH = "both"


Expression: TypeAlias = Cron | Rate | At | BusinessDay | ExchangeTime


@dataclass(frozen=True, slots=True)
class TimeTrigger:
    """One time trigger of a schedule."""

    position: int
    """Its place in the document's list of triggers, from 0."""
    expressions: tuple[Expression, ...]
    """One; two, where a Unix expression needs two. A start that both name comes once."""
    zone: ZoneInfo
    start: datetime | None = None
    """UTC: nothing starts before it. A rate counts from it."""
    end: datetime | None = None
    """UTC: nothing starts after it."""
    calendar: Calendar | None = None
    roll: Roll = Roll.SKIP
    on_dst: OnDst = OnDst.AWS


OPTIONS: Mapping[str, tuple[str, ...]] = {
    "cron": ("timezone", "startDate", "endDate", "calendar", "roll", "onDst"),
    "rate": ("timezone", "startDate", "endDate", "calendar"),
    "at": ("timezone", "calendar", "roll", "onDst"),
    "businessDay": ("time", "timezone", "startDate", "endDate", "calendar", "onDst"),
    "exchange": ("startDate", "endDate"),
}
"""The keys that may stand beside the key that makes a trigger one of time. A rate knows no times of day, and what comes
once needs no dates between which it comes."""
EXAMPLES = {
    "cron": "cron(0 6 ? * MON-FRI *), or five fields as in a crontab: 0 6 * * 1-5",
    "rate": "rate(5 minutes)",
    "at": "at(2026-12-24T18:00:00)",
}
DEFAULT_ZONE = "UTC"
FIRST_YEAR, LAST_YEAR = 1970, 2199
MOST_BUSINESS_DAYS = 31
LONGEST_OFFSET = timedelta(days=1)
TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?")


def time_errors(
    path: str, given: Mapping[str, Any], zone_name: str = "", calendars: Mapping[str, Calendar] | None = None
) -> list[DocumentError]:
    """What is wrong with the time trigger at this path, which passes the schema.

    `zone_name` is the schedule's `timezone`. Without `calendars` no name of a calendar is looked up.
    """
    return _Reading(0, path, given, zone_name, calendars, None).errors


def read_triggers(
    value: Any, zone_name: str, calendars: Mapping[str, Calendar], anchor: datetime | None = None
) -> tuple[TimeTrigger, ...]:
    """The time triggers of a document's `trigger`: one object, or a list. Triggers of other kinds are left out.

    `zone_name` is the schedule's `timezone`, which counts for triggers without their own; empty is UTC. `anchor` (UTC)
    is the start of rates without `startDate`.

    Raises:
        InvalidSchedule: it has errors; those of `time_errors`.
    """
    entries = [("$.trigger", value)] if isinstance(value, Mapping) else _numbered(value)
    readings = [
        _Reading(position, path, given, zone_name, calendars, anchor)
        for position, (path, given) in enumerate(entries)
        if any(kind in given for kind in OPTIONS)
    ]
    if errors := [error for reading in readings for error in reading.errors]:
        raise InvalidSchedule(errors)
    return tuple(reading.trigger() for reading in readings)


def read_expression(text: str) -> tuple[Cron | Rate | At, ...]:
    """What EventBridge Scheduler takes, or five fields as in a crontab: the expressions that together mean the text.

    Raises:
        TimeError: it is none of these.
    """
    match text.strip().partition("(")[0]:
        case "rate":
            return (read_rate(text),)
        case "at":
            return (read_at(text),)
    return _cron_expressions(text)


def _cron_expressions(text: str) -> tuple[Cron, ...]:
    return (read_cron(text),) if "(" in text else tuple(read_cron(each) for each in to_aws(text))


READERS: Mapping[str, Callable[[str], tuple[Expression, ...]]] = {
    "cron": _cron_expressions,
    "rate": lambda text: (read_rate(text),),
    "at": lambda text: (read_at(text),),
}


def _numbered(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    entries: Sequence[Any] = value if isinstance(value, list | tuple) else ()
    return [(f"$.trigger[{place}]", given if isinstance(given, Mapping) else {}) for place, given in enumerate(entries)]


class _Reading:
    """One time trigger while it is read. `errors` says what is wrong with it."""

    def __init__(
        self,
        position: int,
        path: str,
        given: Mapping[str, Any],
        zone_name: str,
        calendars: Mapping[str, Calendar] | None,
        anchor: datetime | None,
    ) -> None:
        self.errors: list[DocumentError] = []
        self._position, self._path, self._given = position, path, given
        self._kind = next(kind for kind in OPTIONS if kind in given)
        self._zone = self._read_zone(zone_name)
        self._calendar = self._read_calendar(calendars)
        self._expressions = self._read_expressions()
        self._start = self._read_bound("startDate") or (anchor if self._kind == "rate" else None)
        self._end = self._read_bound("endDate")
        if self._start and self._end and self._end < self._start:
            self._wrong("endDate", shown(given["endDate"]), "a time after startDate")
        if "roll" in given and "calendar" not in given:
            self._wrong("roll", "roll without a calendar", "calendar beside it, which says what a business day is")

    def trigger(self) -> TimeTrigger:
        """What was read, where there are no errors."""
        zones = [each.exchange.zone for each in self._expressions if isinstance(each, ExchangeTime)]
        return TimeTrigger(
            self._position,
            self._expressions,
            zones[0] if zones else self._zone,
            self._start,
            self._end,
            self._calendar,
            Roll(self._given.get("roll", Roll.SKIP)),
            OnDst(self._given.get("onDst", self._usual_rule())),
        )

    def _usual_rule(self) -> OnDst:
        """AWS's. But five fields with * in minute or hour mean what they mean in a crontab: all of them start again in
        an hour that comes twice. In UTC both are the same.
        """
        of_crontab = self._kind == "cron" and "(" not in self._given["cron"] and self._zone.key != DEFAULT_ZONE
        wild = any(isinstance(each, Cron) and each.wildcard for each in self._expressions)
        return OnDst.CRON if of_crontab and wild else OnDst.AWS

    def _wrong(self, key: str, found: str, expected: str, message: str = "") -> None:
        self.errors.append(DocumentError(f"{self._path}.{key}", found, expected, message))

    def _read_zone(self, zone_name: str) -> ZoneInfo:
        name = self._given.get("timezone", zone_name or DEFAULT_ZONE)
        try:
            return time_zone(name)
        except ValueError:
            if "timezone" in self._given:  # the schedule's own is checked where it stands
                found = f"{shown(name)}, no such zone{did_you_mean(name, sorted(time_zone_names()))}"
                self._wrong("timezone", found, "a time zone of the IANA database: Europe/Zurich")
            return time_zone(DEFAULT_ZONE)

    def _read_calendar(self, calendars: Mapping[str, Calendar] | None) -> Calendar | None:
        given = self._given.get("calendar")
        if given is None:
            return Calendar() if self._kind == "businessDay" else None
        if isinstance(given, str):
            if calendars is not None and given not in calendars:
                found = f"{shown(given)}, no such calendar{did_you_mean(given, sorted(calendars))}"
                self._wrong("calendar", found, "the name of a calendar, or a calendar itself")
            return calendars.get(given) if calendars is not None else None
        errors = list(calendar_errors(given, f"{self._path}.calendar"))
        self.errors += errors
        return None if errors else read_calendar(given)

    def _read_expressions(self) -> tuple[Expression, ...]:
        given = self._given[self._kind]
        if self._kind == "businessDay":
            return self._read_business_day(given)
        if self._kind == "exchange":
            return self._read_exchange_time(given)
        try:
            return READERS[self._kind](given)
        except TimeError as error:
            self._wrong(self._kind, shown(given), EXAMPLES[self._kind], f"{shown(given)}: {error}.")
            return ()

    def _read_business_day(self, number: int) -> tuple[Expression, ...]:
        if not 1 <= abs(number) <= MOST_BUSINESS_DAYS:
            self._wrong("businessDay", shown(number), "1 for the first business day of the month, -1 for the last")
        clock = self._given.get("time")
        if not isinstance(clock, str) or not TIME_OF_DAY.fullmatch(clock):
            self._wrong("time", "no time" if clock is None else shown(clock), "the time of day: 18:00")
            return ()
        return (BusinessDay(number, time.fromisoformat(clock)),)

    def _read_exchange_time(self, given: Mapping[str, Any]) -> tuple[Expression, ...]:
        edges = [edge for edge in ("open", "close") if edge in given]
        strange = [key for key in given if key not in ("open", "close", "offset")]
        if len(edges) != 1 or strange:
            found = " and ".join(strange or edges) or "neither"
            self._wrong(
                "exchange", found, 'open or close, and offset if it is wanted: {"close": "XNYS", "offset": "30m"}'
            )
            return ()
        code, errors = given[edges[0]], list(exchange_errors(given[edges[0]], f"{self._path}.exchange.{edges[0]}"))
        self.errors += errors
        try:
            offset = _signed_duration(given.get("offset", 0))
        except (ValueError, OverflowError):
            self._wrong("exchange.offset", shown(given["offset"]), "at most a day: 30m after, or -30m before")
            return ()
        return () if errors else (ExchangeTime(code, edges[0] == "close", offset, exchange(code)),)

    def _read_bound(self, key: str) -> datetime | None:
        """The moment of a startDate or endDate. A date alone is the whole day."""
        given = self._given.get(key)
        if given is None:
            return None
        try:
            return _bound(given.strip(), self._zone, last=key == "endDate")
        except ValueError:
            self._wrong(
                key, shown(given), "a date, or a date and time: 2026-11-21T06:00:00+01:00, in the years to 2199"
            )
            return None


def _signed_duration(given: int | str) -> timedelta:
    """An offset: a duration, or one before which there is a minus."""
    back = isinstance(given, str) and given.startswith("-")
    length = timedelta(seconds=duration_seconds(given.removeprefix("-") if isinstance(given, str) else given))
    if abs(length) > LONGEST_OFFSET:
        raise ValueError(f"{given} is longer than a day")
    return -length if back else length


def _bound(text: str, zone: ZoneInfo, *, last: bool) -> datetime | None:
    found = datetime.fromisoformat(text)
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ValueError(f"{text} is out of range")
    if re.search("[T ]", text):
        local = found if found.tzinfo else found.replace(tzinfo=zone)
        return local.astimezone(UTC).replace(microsecond=0)
    if last:
        return moment(local_day(zone, found.date() + timedelta(days=1)).begin - 1)
    return moment(local_day(zone, found.date()).begin)
