"""Cron expressions in AWS's form: what is right in them, and the days and minutes that they name.

The rules are those of EventBridge, and Quartz's where AWS's pages are silent:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based
http://www.quartz-scheduler.org/documentation/quartz-2.3.0/tutorials/crontrigger.html
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache

from universal_scheduler.domain.time.expressions import LONGEST, TimeError

FIRST_YEAR, LAST_YEAR = 1970, 2199
SATURDAY, SUNDAY = 5, 6
"""As `date.weekday` counts."""
EXPRESSIONS_KEPT = 65_536
"""So many expressions are read once for all schedules that have them."""
EXPRESSION = re.compile(r"cron\(([^()]*)\)")
PART = re.compile(r"(?:(\*)|([0-9]{1,4}|[A-Z]{3})(?:-([0-9]{1,4}|[A-Z]{3}))?)(?:/([0-9]{1,4}))?")


class Days(StrEnum):
    """How an expression names its days."""

    OF_MONTH = "of month"
    """`mask` has a bit for each day from 1."""
    FROM_LAST = "from last"
    """L is 0 days before the last one, L-3 is 3."""
    NEAREST_WEEKDAY = "nearest weekday"
    """15W"""
    LAST_WEEKDAY = "last weekday"
    """LW"""
    OF_WEEK = "of week"
    """`mask` has a bit for each day, from 0 for Monday."""
    NTH_OF_WEEK = "nth of week"
    """2#1 has `number` 0 and `nth` 1."""
    LAST_OF_WEEK = "last of week"
    """6L has `number` 4."""


@dataclass(frozen=True, slots=True)
class DayRule:
    """The days that an expression names in a month."""

    kind: Days
    mask: int = 0
    number: int = 0
    nth: int = 0


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression."""

    text: str
    """As EventBridge Scheduler takes it, with six fields: `cron(0 6 ? * MON-FRI *)`."""
    minutes: tuple[int, ...]
    """The minutes of a day, from 0 to 1439, in order."""
    days: DayRule
    months: tuple[int, ...]
    years: int
    """A bit for each year from 1970."""
    wildcard: bool
    """Whether minute or hour names every value or every nth: cron jobs of this kind run by the clock's face alone, when
    clocks change."""


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    steps: bool = True
    wraps: bool = True
    """Whether a range may go over the end: 20-2 is an example on AWS's page."""

    @property
    def values(self) -> str:
        names = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.high}{names}"

    @property
    def longest_step(self) -> int:
        """AWS refuses */60 in the minutes: https://github.com/aws/aws-sdk-js/issues/4212."""
        return self.high if self.low <= 1 else self.high - self.low


MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEK = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MINUTES = _Field("minutes", 0, 59)
HOURS = _Field("hours", 0, 23)
DAY_OF_MONTH = _Field("day-of-month", 1, 31)
MONTH = _Field("month", 1, 12, MONTHS)
DAY_OF_WEEK = _Field("day-of-week", 1, 7, WEEK, steps=False)
YEAR = _Field("year", FIRST_YEAR, LAST_YEAR, wraps=False)
FIELDS = (MINUTES, HOURS, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, YEAR)


@lru_cache(maxsize=EXPRESSIONS_KEPT)
def read_cron(text: str) -> Cron:
    """Reads `cron(0 6 ? * MON-FRI *)`: five fields and, if it is given, a year.

    Raises:
        TimeError: AWS would refuse it, or it names no day that ever comes.
    """
    if len(text) > LONGEST:
        raise TimeError(f"it has {len(text)} characters: AWS takes {LONGEST}")
    found = EXPRESSION.fullmatch(text.strip())
    if found is None:
        raise TimeError("a cron expression is written cron(MINUTES HOURS DAY-OF-MONTH MONTH DAY-OF-WEEK YEAR)")
    words = found[1].upper().split()
    if len(words) > 6:
        raise TimeError(
            f"it has {len(words)} fields: write five fields and a year, from the minutes on: seconds are not supported"
        )
    if len(words) < 5:
        raise TimeError(f"it has {len(words)} fields: write five fields and a year, cron(0 6 ? * MON-FRI *)")
    words = [*words, "*"][:6]
    for field, word in zip(FIELDS, words, strict=True):
        _check_characters(field, word)
    minutes, hours, of_month, month, of_week, year = words
    minute_values, hour_values = _values(MINUTES, minutes), _values(HOURS, hours)
    cron = Cron(
        f"cron({' '.join(words)})",
        _minutes_of_day(minute_values, hour_values),
        _day_rule(of_month, of_week),
        _values(MONTH, month),
        _years(year),
        _is_wild(minutes) or _is_wild(hours),
    )
    if next(days_from(cron, date(FIRST_YEAR, 1, 1)), None) is None:
        raise TimeError(f"it never comes: no day is {_named_days(of_month, month, year)}")
    return cron


def days_from(cron: Cron, first: date) -> Iterator[date]:
    """The days that the expression names, from this one on. They end with the year 2199."""
    for year in range(max(first.year, FIRST_YEAR), LAST_YEAR + 1):
        if cron.years >> year - FIRST_YEAR & 1:
            for month in cron.months:
                if year > first.year or month > first.month:
                    mask = _month_mask(cron.days, year, month)
                elif month == first.month:
                    mask = _month_mask(cron.days, year, month) & -1 << first.day
                else:
                    continue
                while mask:
                    day = (mask & -mask).bit_length() - 1
                    yield date(year, month, day)
                    mask &= mask - 1


def names_day(cron: Cron, day: date) -> bool:
    """Whether the expression names this day."""
    year = day.year - FIRST_YEAR
    return (
        year >= 0
        and cron.years >> year & 1 == 1
        and day.month in cron.months
        and _month_mask(cron.days, day.year, day.month) >> day.day & 1 == 1
    )


@lru_cache(maxsize=EXPRESSIONS_KEPT)
def _month_mask(rule: DayRule, year: int, month: int) -> int:
    """The days of a month that the rule names: a bit for each, from bit 1."""
    weekday, last = monthrange(year, month)
    whole = (1 << last + 1) - 2
    match rule.kind:
        case Days.OF_MONTH:
            return rule.mask & whole
        case Days.FROM_LAST:
            return 1 << last - rule.number if rule.number < last else 0
        case Days.NEAREST_WEEKDAY:
            return 1 << _nearest_weekday(rule.number, weekday, last) if rule.number <= last else 0
        case Days.LAST_WEEKDAY:
            return 1 << _nearest_weekday(last, weekday, last)
        case Days.OF_WEEK:
            return sum(1 << day for day in range(1, last + 1) if rule.mask >> (weekday + day - 1) % 7 & 1)
        case Days.NTH_OF_WEEK:
            return 1 << 1 + (rule.number - weekday) % 7 + 7 * (rule.nth - 1) & whole
        case Days.LAST_OF_WEEK:
            return 1 << last - (weekday + last - 1 - rule.number) % 7


def _nearest_weekday(day: int, weekday_of_first: int, last: int) -> int:
    """The day from Monday to Friday that is nearest to this one, in the same month."""
    match (weekday_of_first + day - 1) % 7:
        case 5:
            return day - 1 if day > 1 else day + 2
        case 6:
            return day + 1 if day < last else day - 2
    return day


@lru_cache(maxsize=EXPRESSIONS_KEPT)
def _minutes_of_day(minutes: tuple[int, ...], hours: tuple[int, ...]) -> tuple[int, ...]:
    """Cached, so that expressions that differ in their days share them."""
    return tuple(60 * hour + minute for hour in hours for minute in minutes)


def _check_characters(field: _Field, word: str) -> None:
    """Tells of wildcards that belong into another field."""
    if "#" in word and field is not DAY_OF_WEEK:
        raise TimeError(f"# only in day-of-week, not in {field.name} '{word}'")
    if "?" in word and field not in (DAY_OF_MONTH, DAY_OF_WEEK):
        raise TimeError(f"? only in day-of-month or day-of-week, not in {field.name} '{word}': write *")
    if field is MONTH:
        return
    if "W" in re.sub("WED", "", word) and field is not DAY_OF_MONTH:
        raise TimeError(f"W only in day-of-month, not in {field.name} '{word}'")
    if "L" in word and field not in (DAY_OF_MONTH, DAY_OF_WEEK):
        raise TimeError(f"L only in day-of-month or day-of-week, not in {field.name} '{word}'")


def _day_rule(of_month: str, of_week: str) -> DayRule:
    if (of_month == "?") == (of_week == "?"):
        raise TimeError(
            f"day-of-month is '{of_month}' and day-of-week is '{of_week}': one of them must be ?, "
            "and the other one says which days"
        )
    return _days_of_month(of_month) if of_week == "?" else _days_of_week(of_week)


def _days_of_month(word: str) -> DayRule:
    if word == "L":
        return DayRule(Days.FROM_LAST)
    if word == "LW":
        return DayRule(Days.LAST_WEEKDAY)
    if found := re.fullmatch(r"L-([0-9]{1,2})", word):
        if not 1 <= int(found[1]) <= 30:
            raise TimeError(f"day-of-month '{word}': write L-1 to L-30")
        return DayRule(Days.FROM_LAST, number=int(found[1]))
    if found := re.fullmatch(r"([0-9]{1,2})W", word):
        return DayRule(Days.NEAREST_WEEKDAY, number=_value(DAY_OF_MONTH, found[1]))
    if "L" in word or "W" in word:
        raise TimeError(
            f"day-of-month '{word}': L and W stand alone: L, LW, L-3 or 15W. "
            "For several such days write several triggers"
        )
    return DayRule(Days.OF_MONTH, mask=sum(1 << value for value in _values(DAY_OF_MONTH, word)))


def _days_of_week(word: str) -> DayRule:
    if word == "L":
        return DayRule(Days.OF_WEEK, mask=1 << SATURDAY)  # the week's last day is the seventh
    if found := re.fullmatch(r"([0-9]|[A-Z]{3})L", word):
        return DayRule(Days.LAST_OF_WEEK, number=_weekday(_value(DAY_OF_WEEK, found[1])))
    if found := re.fullmatch(r"([0-9]|[A-Z]{3})#([0-9]+)", word):
        if not 1 <= int(found[2]) <= 5:
            raise TimeError(f"day-of-week '{word}': write #1 to #5 after the day")
        return DayRule(Days.NTH_OF_WEEK, number=_weekday(_value(DAY_OF_WEEK, found[1])), nth=int(found[2]))
    if "#" in word or "L" in word:
        raise TimeError(
            f"day-of-week '{word}': L and # stand alone: L, 6L or 6#2. For several such days write several triggers"
        )
    return DayRule(Days.OF_WEEK, mask=sum(1 << _weekday(value) for value in _values(DAY_OF_WEEK, word)))


def _weekday(value: int) -> int:
    """AWS counts from 1 for Sunday, `date.weekday` from 0 for Monday."""
    return (value + 5) % 7


@lru_cache(maxsize=EXPRESSIONS_KEPT)
def _values(field: _Field, word: str) -> tuple[int, ...]:
    """The values that a list of values, ranges and steps names, in order, each once."""
    return tuple(sorted({value for part in word.split(",") for value in _part_values(field, part)}))


def _part_values(field: _Field, part: str) -> Iterator[int]:
    found = PART.fullmatch(part)
    if found is None:
        raise TimeError(f"{field.name} '{part}': write {field.values}, lists and ranges of them, or *")
    star, low_word, high_word, step_word = found.groups()
    step = int(step_word) if step_word else 1
    if step_word and not field.steps:
        raise TimeError(f"{field.name} '{part}': AWS takes no steps here: write the days in a list, MON,WED,FRI")
    if not 1 <= step <= field.longest_step:
        raise TimeError(f"{field.name} '{part}': a step is 1 to {field.longest_step}")
    low = field.low if star else _value(field, low_word)
    if high_word:
        high = _value(field, high_word)
    else:
        high = field.high if star or step_word else low
    if high < low:
        if not field.wraps:
            raise TimeError(f"{field.name} '{part}': the range runs backwards")
        high += field.high - field.low + 1
    for value in range(low, high + 1, step):
        yield value if value <= field.high else value - (field.high - field.low + 1)


def _value(field: _Field, word: str) -> int:
    if word in field.names:
        return field.names.index(word) + 1
    if not word.isdigit() or not field.low <= int(word) <= field.high:
        raise TimeError(f"{field.name} '{word}': write {field.values}")
    return int(word)


@lru_cache(maxsize=EXPRESSIONS_KEPT)
def _years(word: str) -> int:
    return sum(1 << value - FIRST_YEAR for value in _values(YEAR, word))


def _is_wild(word: str) -> bool:
    """Whether a field names every value or every nth, as * and */10 do, which AWS also takes as 0/10."""
    return re.match(r"\*|0+/", word) is not None


def _named_days(of_month: str, month: str, year: str) -> str:
    days = "its fifth such weekday" if of_month == "?" else f"day {of_month}"
    years = "" if year == "*" else f" of year {year}"
    months = "" if month == "*" else f" of month {month}"
    return f"{days}{months}{years}"
