"""Reads the days off of an iCalendar file (.ics): its events that last whole days.

https://www.rfc-editor.org/rfc/rfc5545.html
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count, islice
from typing import Any

from universal_scheduler.domain.documents.calendars import LONGEST_DAY, MOST_DAYS
from universal_scheduler.domain.documents.values import printable, shown
from universal_scheduler.domain.errors import DocumentError, UnreadableDocument

LAST_YEAR = 2034
"""An event that comes again without an end is a day off until the end of this year."""
YEARS = range(1900, 2200)
LONGEST_EVENT = 366
NAME = re.compile(r"[A-Za-z0-9-]+")
DATE = re.compile(r"[0-9]{8}")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
BY_DAY = re.compile(r"([+-]?[1-5])(MO|TU|WE|TH|FR|SA|SU)")
YEARLY = "FREQ=YEARLY, with INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY and a BYDAY such as 4TH or -1MO"
PLAIN = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "WKST"}


@dataclass(slots=True)
class _Event:
    line: int
    values: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """By the name of the property: the values, each with its line."""

    def first(self, name: str) -> tuple[int, str]:
        return self.values.get(name, [(self.line, "")])[0]


def read_icalendar(text: str, name: str) -> tuple[dict[str, Any], int]:
    """The row of a calendar with the days off of an iCalendar text, and how many events were left out, because they
    have a time of day or are cancelled.

    `until` is the end of the last year in which an event takes place that does not come again each year: nobody knows
    the days of later years.

    Raises:
        UnreadableDocument: the text is no iCalendar, or an event cannot be read. The errors have the line.
    """
    days: dict[date, str] = {}
    left_out, last_year = 0, 0
    for event in _events(text):
        start = _date(*event.first("DTSTART"))
        if start is None or event.first("STATUS")[1].upper() == "CANCELLED":
            left_out += 1
            continue
        length, title = _length(event, start), _title(event)
        last_year = max(last_year, 0 if "RRULE" in event.values else (start + timedelta(days=length - 1)).year)
        for first in _starts(event, start):
            for day in (first + timedelta(days=place) for place in range(length)):
                days[day] = days.get(day) or title
        if len(days) > MOST_DAYS:
            raise _error(event.line, f"more than {MOST_DAYS} days", "fewer days off")
    if not days:
        raise _error(1, "no event that lasts whole days", "events with a DTSTART such as VALUE=DATE:20261225")
    row = {"calendarName": name, "off": [f"{day} {days[day]}".rstrip() for day in sorted(days)]}
    return row | {"until": f"{last_year or LAST_YEAR}-12-31"}, left_out


def _events(text: str) -> Iterator[_Event]:
    """The events, without what is inside of them: alarms."""
    event: _Event | None = None
    inside: list[str] = []
    begun = False
    for line, content in _lines(text):
        name, colon, value = _parts(content)
        word = value.strip().upper()
        if not colon or (not begun and (name, word) != ("BEGIN", "VCALENDAR")):
            expected = "an iCalendar text, which begins with BEGIN:VCALENDAR" if not begun else "NAME:VALUE"
            raise _error(line, shown(content), expected)
        begun = True
        if name == "BEGIN":
            inside.append(word)
            event = _Event(line) if word == "VEVENT" else event
        elif name == "END":
            if not inside or inside.pop() != word:
                raise _error(line, shown(content), "the END of what has begun")
            if word == "VEVENT" and event is not None:
                yield event
                event = None
        elif event is not None and inside[-1] == "VEVENT":
            event.values.setdefault(name, []).append((line, value))
    if not begun or inside:
        raise _error(1, f"no END:{inside[-1]}" if inside else "nothing in it", "a whole iCalendar text")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers. A line that begins with a blank goes on with the line before."""
    at, content = 0, ""
    for line, each in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if each[:1] in (" ", "\t") and content:
            content += each[1:]
            continue
        if content.strip():
            yield at, content
        at, content = line, each
    if content.strip():
        yield at, content


def _parts(content: str) -> tuple[str, str, str]:
    """The name of a property, the colon, and the value. The colon is the first one outside of quotes."""
    quoted = False
    for place, character in enumerate(content):
        quoted ^= character == '"'
        if character == ":" and not quoted:
            name = NAME.match(content)
            return (name[0].upper() if name else "", ":", content[place + 1 :])
    return "", "", ""


def _date(line: int, value: str) -> date | None:
    """The day of an event that lasts whole days; None if it has a time of day."""
    text = value.strip()
    if re.fullmatch(r"[0-9]{8}T[0-9]{6}Z?", text):
        return None
    try:
        day = date.fromisoformat(text) if DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is not None and day.year in YEARS:
        return day
    raise _error(line, shown(value), "a day, 20261225")


def _length(event: _Event, start: date) -> int:
    """How many days the event lasts. DTEND is the day after the last one."""
    if "DTEND" in event.values:
        end = _date(*event.first("DTEND"))
        days = (end - start).days if end else 1
    elif "DURATION" in event.values:
        line, text = event.first("DURATION")
        found = re.fullmatch(r"P(?:([0-9]{1,2})W|([0-9]{1,3})D)", text.strip())
        if found is None:
            raise _error(line, shown(text), "a duration of whole days, P2D")
        days = int(found[1]) * 7 if found[1] else int(found[2])
    else:
        days = 1
    if days > LONGEST_EVENT:
        raise _error(event.line, f"an event of {days} days", f"at most {LONGEST_EVENT} days")
    return max(days, 1)


def _title(event: _Event) -> str:
    text = re.sub(r"\\([\\;,])", r"\1", re.sub(r"\\[nN]", " ", event.first("SUMMARY")[1]))
    return printable(" ".join(text.split()))[: LONGEST_DAY - len("2026-12-25 ")].strip()


def _starts(event: _Event, start: date) -> Iterator[date]:
    """The first days of an event: one, or one for each time it comes again."""
    left_out = {_date(line, day) for line, days in event.values.get("EXDATE", ()) for day in days.split(",")}
    if "RDATE" in event.values:
        raise _error(event.first("RDATE")[0], "RDATE", "a day for each event, or an RRULE")
    days = _yearly(event, start) if "RRULE" in event.values else iter((start,))
    return (day for day in days if day not in left_out)


def _yearly(event: _Event, start: date) -> Iterator[date]:
    line, text = event.first("RRULE")
    parts = [part.partition("=") for part in text.strip().upper().rstrip(";").split(";")]
    rule = {name: value for name, _, value in parts}
    if rule.get("FREQ") != "YEARLY" or not PLAIN.issuperset(rule) or len(event.values["RRULE"]) > 1:
        raise _error(line, shown(text), YEARLY)
    interval, most = _number(rule, "INTERVAL", 1, line), _number(rule, "COUNT", MOST_DAYS, line)
    last = _date(line, rule["UNTIL"][:8]) if "UNTIL" in rule else None
    last = min(last or date.max, date(LAST_YEAR, 12, 31))
    years = (start.year + interval * place for place in count())
    found = (_in_year(rule, start, year, line) for year in _until(years, last.year))
    return islice((day for day in found if day is not None and start <= day <= last), most)


def _until(years: Iterator[int], last: int) -> Iterator[int]:
    for year in years:
        if year > last:
            return
        yield year


def _in_year(rule: Mapping[str, str], start: date, year: int, line: int) -> date | None:
    """When the event takes place in a year; None if it does not: 29 February, a fifth Monday."""
    month = _number(rule, "BYMONTH", start.month, line)
    if month > 12:
        raise _error(line, f"BYMONTH={month}", "a month from 1 to 12")
    length = monthrange(year, month)[1]
    if "BYDAY" not in rule:
        day = _number(rule, "BYMONTHDAY", start.day, line)
        return date(year, month, day) if day <= length else None
    found = BY_DAY.fullmatch(rule["BYDAY"])
    if found is None or "BYMONTH" not in rule or "BYMONTHDAY" in rule:
        raise _error(line, f"BYDAY={rule['BYDAY']}", "BYMONTH with a BYDAY such as 4TH or -1MO")
    nth, weekday = int(found[1]), WEEKDAYS.index(found[2])
    days = [day for day in range(1, length + 1) if date(year, month, day).weekday() == weekday]
    place = nth - 1 if nth > 0 else nth
    return date(year, month, days[place]) if -len(days) <= place < len(days) else None


def _number(rule: Mapping[str, str], key: str, default: int, line: int) -> int:
    if key not in rule:
        return default
    if not re.fullmatch(r"[1-9][0-9]{0,3}", rule[key]):
        raise _error(line, f"{key}={rule[key]}", "a number from 1")
    return int(rule[key])


def _error(line: int, found: str, expected: str) -> UnreadableDocument:
    return UnreadableDocument([DocumentError("$", found, expected, line=line, column=1)])
