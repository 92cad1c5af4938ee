"""The time triggers of a schedule: reads them from the document's `trigger`. It is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from universal_scheduler.domain.errors import DocumentError
from universal_scheduler.domain.time.calendars import Calendar, Exchange


class TimeError(ValueError):
    """An expression says no time. Its text says what is wrong, and what to write instead."""


class Roll(StrEnum):
    """What happens to a start on a day that is no business day."""

    SKIP = "skip"
    NEXT = "next"
    PREVIOUS = "previous"


class OnDst(StrEnum):
    """Whose rule says what happens to the times that clocks jump over or show twice.

    AWS: a time in the gap does not start, and a time that comes twice starts at the first.
    CRON: as Debian's cron: a fixed time in the gap starts at its end and one that comes twice starts at the first;
    an expression with a wildcard in minute or hour starts at every matching time on the clock.
    BOTH: a time in the gap does not start, and a time that comes twice starts twice.
    """

    AWS = "aws"
    CRON = "cron"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in AWS's form. `read_cron` in cron.py reads it; other fields are the evaluator's own."""

    text: str
    """In one canonical form with six fields, as EventBridge Scheduler takes it: `cron(0 6 ? * MON-FRI *)`."""


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
    exchange: Exchange


Expression = Cron | Rate | At | BusinessDay | ExchangeTime


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


def time_errors(value: Any, zone_name: str, calendars: Mapping[str, Calendar] | None = None) -> list[DocumentError]:
    """What is wrong with the time triggers among a document's `trigger`, which passes the schema.

    Without `calendars` no name of a calendar is looked up.
    """
    raise NotImplementedError


def read_triggers(
    value: Any, zone_name: str, calendars: Mapping[str, Calendar], anchor: datetime | None = None
) -> tuple[TimeTrigger, ...]:
    """The time triggers of a document's `trigger`: one object, or a list. Triggers of other kinds are left out.

    `zone_name` is the schedule's `timezone`, which counts for triggers without their own; empty is UTC. `anchor` (UTC)
    is the start of rates without `startDate`.

    Raises:
        InvalidSchedule: it has errors; those of `time_errors`.
    """
    raise NotImplementedError
