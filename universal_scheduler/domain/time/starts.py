"""The coming starts of time triggers, and why some are left out. Who wants to know when a schedule starts asks here.

The day is the unit: an expression names days and the minutes in them, the calendar closes days or moves them, and the
zone says which instants the clocks show a minute at. Instants are epoch seconds until a start is made of them.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from universal_scheduler.domain.time.calendars import BeyondHorizon, Calendar
from universal_scheduler.domain.time.cron import LAST_YEAR, days_from
from universal_scheduler.domain.time.local_days import DAY, SECOND, Gap, epoch_second, local_day, moment
from universal_scheduler.domain.time.triggers import (
    At,
    BusinessDay,
    Cron,
    ExchangeTime,
    Expression,
    OnDst,
    Rate,
    Roll,
    TimeTrigger,
)

UNKNOWN = "unknown: "
"""How the reason begins where a calendar ends."""
END = epoch_second(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC))
ONE_DAY = timedelta(days=1)
MINUTES = tuple(timedelta(minutes=minute) for minute in range(24 * 60))
SAVING_LIMIT = 3 * 3600
"""To Debian's cron, a change of clocks by so much is none of daylight saving."""
SETS_KEPT = 65_536


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a schedule, or one that is left out."""

    at: datetime
    """UTC. Of a start that is left out, because clocks jump over it: what PEP 495 makes of `local`."""
    local: datetime
    """The same in the trigger's zone: what the clock on the wall shows."""
    trigger: int
    """The trigger's place in the document's list."""
    scheduled: datetime
    """UTC: what the expression says, before rolling to a business day. It is the run's `scheduledTime`."""
    business_date: date
    """The local day of the start, after rolling; of an exchange's time, the day of the session."""
    left_out: str = ""
    """Why nothing starts; empty where a run starts."""


def coming(triggers: Sequence[TimeTrigger], after: datetime, until: datetime | None = None) -> Iterator[Start]:
    """The starts strictly after `after`, up to and including `until`, in order; those that are left out too.

    No instant has two starts of runs. Where a calendar ends, one start that is left out says "unknown: ...", and its
    trigger has no more. Without `until` the starts go on to the end of the year 2199. A rate that has no start counts
    from `after`.
    """
    first, last = epoch_second(after) + 1, END - 1 if until is None else min(epoch_second(until), END - 1)
    if len(triggers) == 1:
        return _trigger_starts(triggers[0], first, last)
    return _each_once(heapq.merge(*(_trigger_starts(trigger, first, last) for trigger in triggers), key=_order))


def between(triggers: Sequence[TimeTrigger], first: datetime, before: datetime) -> Iterator[Start]:
    """The starts from `first` on and before `before`: a span of time has its first instant, not its last."""
    tick = timedelta.resolution
    return coming(triggers, first - tick, before - tick)


def _order(start: Start) -> tuple[datetime, bool, int]:
    return start.at, bool(start.left_out), start.trigger


def _each_once(starts: Iterable[Start]) -> Iterator[Start]:
    """Of starts in order, those that start at different instants; and all that are left out."""
    before: datetime | None = None
    for start in starts:
        if start.left_out:
            yield start
        elif start.at != before:
            before = start.at
            yield start


def _trigger_starts(trigger: TimeTrigger, first: int, last: int) -> Iterator[Start]:
    begin = first if trigger.start is None else max(first, epoch_second(trigger.start))
    end = last if trigger.end is None else min(last, epoch_second(trigger.end))
    if begin > end:
        return iter(())
    streams = [_expression_starts(trigger, expression, begin, end, first - 1) for expression in trigger.expressions]
    if len(streams) == 1:
        return streams[0]
    return _until_unknown(_each_once(heapq.merge(*streams, key=_order)))


def _until_unknown(starts: Iterable[Start]) -> Iterator[Start]:
    for start in starts:
        yield start
        if start.left_out.startswith(UNKNOWN):
            return


def _expression_starts(
    trigger: TimeTrigger, expression: Expression, first: int, last: int, after: int
) -> Iterator[Start]:
    match expression:
        case Cron() if trigger.calendar is None:
            return _cron_starts(trigger, expression, first, last)
        case Cron() | At() | BusinessDay():
            return _day_starts(trigger, expression, first, last)
        case Rate():
            return _rate_starts(trigger, expression, first, last, after)
    return _exchange_starts(trigger, expression, first, last)


def _cron_starts(trigger: TimeTrigger, cron: Cron, first: int, last: int) -> Iterator[Start]:
    """The starts of the most usual kind of trigger, by the shortest way while clocks do not change."""
    zone, position, minutes = trigger.zone, trigger.position, cron.minutes
    waiting: list[Start] = []
    for day in days_from(cron, _first_day(zone, first)):
        here = local_day(zone, day)
        if waiting:
            begin = moment(here.begin)
            yield from (start for start in waiting if start.at < begin)
            waiting = [start for start in waiting if start.at >= begin]
        if here.begin > last:
            break
        if here.offset is None or waiting:
            found = _of_day(trigger, day, day, _seconds(minutes), cron.wildcard)
            waiting = list(_each_once(sorted([*waiting, *_within(found, first, last)], key=_order)))
            continue
        midnight, utc, wall = here.midnight - here.offset, here.utc_midnight, here.local_midnight
        place = 0 if midnight >= first else bisect_left(minutes, (first - midnight + 59) // 60)
        stop = len(minutes) if midnight + DAY <= last else bisect_left(minutes, (last - midnight) // 60 + 1)
        for minute in minutes[place:stop]:
            passed = MINUTES[minute]
            at = utc + passed
            yield Start(at, wall + passed, position, at, day)
    yield from waiting


def _first_day(zone: ZoneInfo, second: int) -> date:
    """The first local day that may have instants from this second on: clocks may have gone back into the day before."""
    day = moment(second - 1).astimezone(zone).date()
    return day if local_day(zone, day).offset is not None else day - ONE_DAY


def _within(starts: Iterable[Start], first: int, last: int) -> list[Start]:
    low, high = moment(first), moment(last)
    return [start for start in starts if low <= start.at <= high]


def _second_of_day(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second


@lru_cache(maxsize=SETS_KEPT)
def _seconds(minutes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(60 * minute for minute in minutes)


def _of_day(
    trigger: TimeTrigger, day: date, named: date, seconds: Sequence[int], wild: bool, closed: str = ""
) -> list[Start]:
    """The starts of one local day, which the expression names as `named`. None starts if the day is `closed`."""
    starts = []
    for second in seconds:
        for found in _clock_times(trigger.zone, day, second, wild, trigger.on_dst):
            scheduled = found.at if named == day else _first_instant(trigger.zone, named, second)
            left_out = closed or found.left_out
            starts.append(Start(moment(found.at), found.local, trigger.position, moment(scheduled), day, left_out))
    return starts


@dataclass(frozen=True, slots=True)
class _Time:
    at: int
    local: datetime
    left_out: str = ""


def _clock_times(zone: ZoneInfo, day: date, second: int, wild: bool, on_dst: OnDst) -> list[_Time]:
    """When clocks show this second of the day, by the rule for changing clocks, and why it does not count."""
    here = local_day(zone, day)
    local, wall = here.midnight + second, here.local_midnight + timedelta(seconds=second)
    match here.instants(local):
        case [at]:
            return [_Time(at, wall)]
        case [at, again]:
            by_clock = wild or again - at >= SAVING_LIMIT
            counts = on_dst is OnDst.BOTH or (on_dst is OnDst.CRON and by_clock)
            why = "" if counts else f"clocks show {wall:%H:%M} twice on {day}, and it starts at the first"
            return [_Time(at, wall), _Time(again, wall.replace(fold=1), why)]
    gap = here.gap(local)
    if gap is None:
        return []
    if on_dst is OnDst.CRON and not wild and gap.end - gap.first < SAVING_LIMIT:
        return [_Time(gap.at, moment(gap.at).astimezone(zone))]
    return [_Time(local - gap.offset, wall, _jump(gap, wall))]


def _jump(gap: Gap, wall: datetime) -> str:
    first, end = moment(gap.first), moment(gap.end)
    form = "%H:%M" if first.date() == end.date() else "%Y-%m-%d %H:%M"
    return f"clocks jump from {first:{form}} to {end:{form}}, so there is no {wall:%H:%M} on {wall:%Y-%m-%d}"


def _first_instant(zone: ZoneInfo, day: date, second: int) -> int:
    """The instant at which clocks first show this second of the day, or would, if they did not jump over it."""
    here = local_day(zone, day)
    local = here.midnight + second
    gap = here.gap(local)
    return local - gap.offset if gap else here.instants(local)[0]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Starts of some days. None of them, and none of a later batch, comes before the instant `begin`."""

    begin: int
    starts: list[Start]


def _in_order(batches: Iterable[_Batch], first: int, last: int) -> Iterator[Start]:
    """The starts of all batches in order, from the second `first` to `last`.

    A day's starts may come after those of the day that follows: where clocks go back over midnight, and where a start
    moves to another day.
    """
    waiting: list[tuple[tuple[datetime, bool, int], int, Start]] = []
    count = 0
    for batch in batches:
        begin = moment(batch.begin)
        while waiting and waiting[0][2].at < begin:
            yield heapq.heappop(waiting)[2]
        if batch.begin > last:
            break
        for start in _within(batch.starts, first, last):
            heapq.heappush(waiting, (_order(start), count, start))
            count += 1
    while waiting:
        yield heapq.heappop(waiting)[2]


def _day_starts(trigger: TimeTrigger, expression: Cron | At | BusinessDay, first: int, last: int) -> Iterator[Start]:
    """The starts by days, with or without a calendar."""
    day, calendar = _first_day(trigger.zone, first), trigger.calendar
    match expression:
        case BusinessDay():
            by_day = _ByDay(trigger, (_second_of_day(expression.time),), False, first)
            batches = by_day.business_days(expression.number, calendar or Calendar(), day)
        case _:
            if isinstance(expression, Cron):
                by_day = _ByDay(trigger, _seconds(expression.minutes), expression.wildcard, first)
            else:
                by_day = _ByDay(trigger, (_second_of_day(expression.local.time()),), False, first)
            if calendar is None or trigger.roll is Roll.SKIP:
                batches = by_day.skipping(_named_days(expression, day), calendar)
            else:
                since = _first_together(calendar, trigger.roll, day)
                batches = by_day.rolling(_named_days(expression, since), calendar)
    return _until_unknown(_each_once(_in_order(batches, first, last)))


def _named_days(expression: Cron | At, first: date) -> Iterator[date]:
    """The days that the expression names, from this one on."""
    if isinstance(expression, Cron):
        yield from days_from(expression, first)
    elif expression.local.date() >= first:
        yield expression.local.date()


def _first_together(calendar: Calendar, roll: Roll, day: date) -> date:
    """The first of the days whose starts roll to the same business day as those of this one."""
    try:
        if roll is Roll.NEXT:
            return calendar.previous_business_day(day - ONE_DAY) + ONE_DAY
        return calendar.previous_business_day(day)
    except BeyondHorizon:
        return day


@dataclass(frozen=True, slots=True)
class _ByDay:
    """The times of an expression on each of its days."""

    trigger: TimeTrigger
    seconds: Sequence[int]
    """Since midnight, by the clock."""
    wild: bool
    first: int
    """The first second that is asked for."""

    def skipping(self, named_days: Iterable[date], calendar: Calendar | None) -> Iterator[_Batch]:
        """Each named day with its starts, which are left out where the calendar closes the day."""
        for day in named_days:
            try:
                closed = calendar.closed(day) if calendar else ""
            except BeyondHorizon as error:
                yield self._unknown(error, day)
                return
            yield self._batch(day, self._starts(day, day, closed))

    def rolling(self, named_days: Iterable[date], calendar: Calendar) -> Iterator[_Batch]:
        """Each business day with its starts and those that roll to it. Several that roll to one time are one start."""
        rolls_on = self.trigger.roll is Roll.NEXT
        together: list[date] = []
        target = date.min
        for day in named_days:
            try:
                to = calendar.next_business_day(day) if rolls_on else calendar.previous_business_day(day)
            except BeyondHorizon as error:
                if together:
                    yield self._together(calendar, target, together)
                yield self._unknown(error, day)
                return
            if together and to != target:
                yield self._together(calendar, target, together)
                together = []
            target = to
            together.append(day)
        if together:
            yield self._together(calendar, target, together)

    def business_days(self, number: int, calendar: Calendar, first: date) -> Iterator[_Batch]:
        """The business day with this number of each month, from the day `first` on."""
        for month in _months_from(first):
            try:
                day = calendar.business_day_of_month(month.year, month.month, number)
            except BeyondHorizon as error:
                yield self._unknown(error, max(first, month))
                return
            if day is None:
                last_day = month.replace(day=monthrange(month.year, month.month)[1])
                why = f"{month:%B %Y} has no business day {number}"
                yield self._batch(last_day, self._starts(last_day, last_day, why))
            elif day >= first:
                yield self._batch(day, self._starts(day, day))

    def _together(self, calendar: Calendar, target: date, named: Sequence[date]) -> _Batch:
        """The starts of a business day, and those of closed days that roll to it and find one there."""
        standing = target if target in named else named[0]
        starts = self._starts(target, standing)
        for day in named:
            if day != standing:
                why = f"{calendar.closed(day)}: it rolls to {target}, where there is a start at the same time"
                starts += self._starts(day, day, why)
        return self._batch(min(target, named[0]), starts)

    def _starts(self, day: date, named: date, closed: str = "") -> list[Start]:
        return _of_day(self.trigger, day, named, self.seconds, self.wild, closed)

    def _batch(self, day: date, starts: list[Start]) -> _Batch:
        return _Batch(local_day(self.trigger.zone, day).begin, starts)

    def _unknown(self, error: BeyondHorizon, day: date) -> _Batch:
        return self._batch(day, [_unknown(self.trigger, error, day, self.seconds[0], self.first)])


def _months_from(day: date) -> Iterator[date]:
    """The first day of each month, from that of this day on."""
    for year in range(day.year, LAST_YEAR + 1):
        for month in range(day.month if year == day.year else 1, 13):
            yield date(year, month, 1)


def _unknown(trigger: TimeTrigger, error: BeyondHorizon, day: date, second: int, first: int) -> Start:
    """The start that says that nobody knows the starts from here on. It is not before the second `first`."""
    at = moment(max(_first_instant(trigger.zone, day, second), first))
    return Start(at, at.astimezone(trigger.zone), trigger.position, at, day, _why_unknown(error))


def _why_unknown(error: BeyondHorizon) -> str:
    text = str(error)
    return text if text.startswith(UNKNOWN) else f"{UNKNOWN}{text}"


def _rate_starts(trigger: TimeTrigger, rate: Rate, first: int, last: int, after: int) -> Iterator[Start]:
    """Every so many seconds, counted from the trigger's start, or from `after`."""
    anchor = after if trigger.start is None else epoch_second(trigger.start)
    second = max(anchor if trigger.start else anchor + rate.seconds, first + (anchor - first) % rate.seconds)
    for instant in range(second, last + 1, rate.seconds):
        at = moment(instant)
        local = at.astimezone(trigger.zone)
        closed = ""
        if trigger.calendar is not None:
            try:
                closed = trigger.calendar.closed(local.date())
            except BeyondHorizon as error:
                yield Start(at, local, trigger.position, at, local.date(), _why_unknown(error))
                return
        yield Start(at, local, trigger.position, at, local.date(), closed)


def _exchange_starts(trigger: TimeTrigger, expression: ExchangeTime, first: int, last: int) -> Iterator[Start]:
    """At every session of the exchange, as far as its table goes."""
    exchange, today = expression.exchange, moment(first).astimezone(expression.exchange.zone).date()
    day = today - 2 * ONE_DAY  # the offset is a day at most
    while local_day(exchange.zone, day).begin + expression.offset // SECOND <= last:
        try:
            session = exchange.session(day)
        except BeyondHorizon as error:
            if day >= today:
                yield _unknown(trigger, error, day, 0, first)
                return
            session = None
        if session is not None:
            at = session[expression.at_close] + expression.offset
            if first <= epoch_second(at) <= last:
                yield Start(at, at.astimezone(trigger.zone), trigger.position, at, day)
        day += ONE_DAY
