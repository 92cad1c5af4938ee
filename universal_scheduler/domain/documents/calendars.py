"""Reads a calendar as documents write it: inside a trigger, or as a row of BatchCalendars. One check for every door."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from universal_scheduler.domain.documents.storable import storable_errors
from universal_scheduler.domain.documents.values import quoted, shown
from universal_scheduler.domain.errors import DocumentError, did_you_mean
from universal_scheduler.domain.time.calendars import WEEKDAYS, Calendar, Days
from universal_scheduler.domain.time.exchanges import exchange, exchange_codes
from universal_scheduler.domain.time.holidays import holiday_codes, public_holidays

KEYS = ("weekend", "holidays", "exchange", "off", "on", "until")
ROW_KEYS = ("calendarName", "description", *KEYS)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LONGEST_NAME, LONGEST_TEXT, MOST_DAYS, MOST_PLACES = 128, 4096, 5000, 10
DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?: +(\S.*))?")
LONGEST_DAY = 200
A_NAME = "a name of at most 128 letters, digits, '.', '_' and '-'"
A_DAY = "a date, 2026-12-24, or a date and what it is: 2026-12-24 Christmas Eve"
A_WEEKEND = f"a list of up to six days: {', '.join(WEEKDAYS)}"


def is_calendar(document: object) -> bool:
    """Whether a document is a calendar, and no schedule."""
    return isinstance(document, Mapping) and "calendarName" in document and "jobList" not in document


def read_calendar(value: Mapping[str, Any]) -> Calendar:
    """The calendar of a value that `calendar_errors` or `calendar_row_errors` has found right.

    Raises:
        ValueError: the value is wrong.
    """
    for error in calendar_row_errors(value) if "calendarName" in value else calendar_errors(value):
        raise ValueError(str(error))
    codes = value.get("holidays", ())
    published: list[Days] = [public_holidays(code) for code in ([codes] if isinstance(codes, str) else codes)]
    published += [exchange(value["exchange"])] if "exchange" in value else []
    return Calendar(
        name=value.get("calendarName", ""),
        weekend=frozenset(map(WEEKDAYS.index, value["weekend"])) if "weekend" in value else None,
        published=tuple(published),
        off=dict(map(_named_day, value.get("off", ()))),
        on=frozenset(day for day, _ in map(_named_day, value.get("on", ()))),
        until=date.fromisoformat(value["until"]) if "until" in value else None,
    )


def calendar_text(value: Mapping[str, Any]) -> str:
    """What a right calendar is made of, and until when it is known, in words for people."""
    calendar = read_calendar(value)
    parts = [days.code for days in calendar.published]
    if calendar.weekend is not None or not parts:
        weekend = value.get("weekend", ("SAT", "SUN"))
        parts.append(f"weekend {', '.join(weekend)}" if weekend else "no weekend")
    parts += [f"{count} {word}" for word, count in (("off", len(calendar.off)), ("on", len(calendar.on))) if count]
    return "; ".join(parts) + (f"; known until {calendar.horizon}" if calendar.horizon else "")


def calendars_of(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Calendar]:
    """The calendars of these rows, by the same names. A row that is wrong is left out."""
    return {name: read_calendar(row) for name, row in rows.items() if not any(calendar_row_errors(row))}


def calendar_row_errors(row: object, path: str = "$") -> Iterator[DocumentError]:
    """What is wrong with a row of BatchCalendars."""
    if not isinstance(row, Mapping):
        yield DocumentError(path, shown(row), "an object: a calendar")
        return
    if unstorable := storable_errors(row):
        yield from unstorable
        return
    name = row.get("calendarName")
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        yield DocumentError(f"{path}.calendarName", shown(name), A_NAME)
    text = row.get("description", "")
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        yield DocumentError(f"{path}.description", shown(text), f"a text of at most {LONGEST_TEXT} characters")
    yield from _errors(row, path, ROW_KEYS)


def calendar_errors(value: object, path: str = "$") -> Iterator[DocumentError]:
    """What is wrong with a calendar in a trigger that is no name. `path` is where it stands."""
    if isinstance(value, Mapping):
        yield from _errors(value, path, KEYS)
    else:
        yield DocumentError(path, shown(value), "the name of a calendar, or an object with " + ", ".join(KEYS))


def _errors(value: Mapping[Any, Any], path: str, known: tuple[str, ...]) -> Iterator[DocumentError]:
    for key in value:
        if key not in known:
            hint = did_you_mean(key, known) if isinstance(key, str) else ""
            yield DocumentError(path, f"unknown key {quoted(str(key))}{hint}", f"only {', '.join(known)}")
    if "weekend" in value:
        yield from _weekend_errors(value["weekend"], f"{path}.weekend")
    if "holidays" in value:
        yield from _holiday_errors(value["holidays"], f"{path}.holidays")
    if "exchange" in value:
        yield from exchange_errors(value["exchange"], f"{path}.exchange")
    yield from _day_list_errors(value, path)
    if "until" in value and _date(value["until"]) is None:
        yield DocumentError(f"{path}.until", shown(value["until"]), "the last day that off and on know of: 2027-12-31")


def _weekend_errors(weekend: object, path: str) -> Iterator[DocumentError]:
    if not isinstance(weekend, list | tuple) or not len(weekend) < len(WEEKDAYS):
        yield DocumentError(path, shown(weekend), A_WEEKEND)
        return
    for position, day in enumerate(weekend):
        if day not in WEEKDAYS:
            yield DocumentError(f"{path}[{position}]", shown(day), f"one of {', '.join(WEEKDAYS)}")


def _holiday_errors(codes: object, path: str) -> Iterator[DocumentError]:
    if isinstance(codes, list | tuple):
        if not 0 < len(codes) <= MOST_PLACES:
            yield DocumentError(path, f"{len(codes)} entries", f"1 to {MOST_PLACES} countries or markets")
            return
        for position, code in enumerate(codes):
            yield from _code_errors(code, f"{path}[{position}]")
    else:
        yield from _code_errors(codes, path)


def _code_errors(code: object, path: str) -> Iterator[DocumentError]:
    if isinstance(code, str):
        try:
            public_holidays(code)
        except ValueError:
            hint = did_you_mean(code, holiday_codes())
            yield DocumentError(path, f"{shown(code)}{hint}", "a country (US), its part (US-CA), or a market (ECB)")
    else:
        yield DocumentError(path, shown(code), "a country (US), its part (US-CA), or a market (ECB), or a list of them")


def exchange_errors(code: object, path: str) -> Iterator[DocumentError]:
    """What is wrong with the code of an exchange."""
    if code not in exchange_codes():
        hint = did_you_mean(code, exchange_codes()) if isinstance(code, str) else ""
        yield DocumentError(path, f"{shown(code)}{hint}", f"an exchange: {', '.join(exchange_codes())}")


def _day_list_errors(value: Mapping[str, Any], path: str) -> Iterator[DocumentError]:
    seen: dict[date, str] = {}
    for key in ("off", "on"):
        days = value.get(key, ())
        if not isinstance(days, list | tuple) or len(days) > MOST_DAYS:
            found = f"{len(days)} entries" if isinstance(days, list | tuple) else shown(days)
            yield DocumentError(f"{path}.{key}", found, f"a list of at most {MOST_DAYS} days")
            continue
        for position, entry in enumerate(days):
            where = f"{path}.{key}[{position}]"
            day = _entry(entry)
            if day is None:
                yield DocumentError(where, shown(entry), A_DAY)
            elif day[0] in seen:
                yield DocumentError(where, f"{day[0]} again", f"every day once: {seen[day[0]]} has it")
            else:
                seen[day[0]] = where


def _named_day(entry: str) -> tuple[date, str]:
    found = _entry(entry)
    assert found is not None
    return found


def _entry(entry: object) -> tuple[date, str] | None:
    """A day of a list, with what it is; None if the entry is something else."""
    if not isinstance(entry, str) or len(entry) > LONGEST_DAY or not entry.isprintable():
        return None
    found = DAY.fullmatch(entry)
    day = _date(found[1]) if found else None
    return (day, (found[2] or "").strip()) if found and day else None


def _date(text: object) -> date | None:
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
