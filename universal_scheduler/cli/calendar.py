"""`usched calendar`: draws a month with its closed days and the starts of a schedule, and lists calendars."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from universal_scheduler.cli.console import make_console, put_json, say
from universal_scheduler.cli.next_starts import calendars_for, is_file, read_file
from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.tables import Table, prose
from universal_scheduler.domain.documents.calendars import (
    calendar_row_errors,
    calendar_text,
    calendars_of,
    read_calendar,
)
from universal_scheduler.domain.errors import InvalidCalendar
from universal_scheduler.domain.time.calendars import DAY_NAMES, Calendar
from universal_scheduler.domain.time.exchanges import exchange, exchange_codes
from universal_scheduler.domain.time.holidays import holiday_codes, public_holidays
from universal_scheduler.usecases.month import month_view
from universal_scheduler.usecases.timetable import Calendars
from universal_scheduler.usecases.upcoming import checked_triggers

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)
YEARS = range(1970, 2200)
SHOWN = 4
"""How many starts of a day are listed."""
STARTS, LEFT_OUT, CLOSED, UNKNOWN = ("*", "bold green"), ("!", "yellow"), ("-", "red"), ("?", "magenta")
LEGEND = {STARTS: "a run starts", LEFT_OUT: "a start is left out", CLOSED: "closed", UNKNOWN: "unknown"}

View = Mapping[str, Any]


def calendars_command(stage: Wiring, as_json: bool) -> int:
    """List the calendars of the stage."""
    rows = stage.store.list_calendars()
    views = [{"calendarName": str(row["calendarName"]), "days": _made_of(row)} for row in rows]
    if as_json:
        put_json({"calendars": views})
    elif views:
        table = Table("calendar", prose("what it is made of"))
        for view in views:
            table.add_row(view["calendarName"], view["days"])
        make_console().print(table)
    else:
        say(make_console(), "There is no calendar. Store one with: usched apply FILE")
    return 0


def calendar_command(connect: Callable[[], Wiring], what: str, month: str | None, as_json: bool) -> int:
    """Draw a month of a file, a country or an exchange, a stored calendar, or a stored schedule. `connect` is called
    only where a name has to be looked up.

    Raises:
        Problem: there is no such thing, the file or the stored schedule is not valid, or the month is none.
        InvalidCalendar: the stored calendar is not valid.
    """
    year, number = _month(month)
    views = [month_view(name, calendars, triggers, year, number) for name, calendars, triggers in _found(connect, what)]
    if as_json:
        put_json(views[0] if len(views) == 1 else {"months": views})
    else:
        console = make_console()
        for view in views:
            draw(console, view)
    return 0


def draw(console: Console, view: View) -> None:
    """Print a month: a week on each line, and below it what is to be said of its days."""
    first = date.fromisoformat(view["days"][0]["date"])
    console.print(Text.assemble((printable(view["name"]), "bold"), f", {first:%B %Y}"), soft_wrap=True)
    console.print(Text(" ".join(f" {name[:2]} " for name in DAY_NAMES).rstrip(), style="dim"))
    marked = [_mark(day) for day in view["days"]]
    cells = [Text(" " * 4)] * first.weekday()
    for number, mark in enumerate(marked, start=1):
        cells.append(Text(f" {number:>2}{mark[0] if mark else ' '}", style=mark[1] if mark else ""))
    for place in range(0, len(cells), len(DAY_NAMES)):
        line = Text(" ").join(cells[place : place + len(DAY_NAMES)])
        line.rstrip()
        console.print(line)
    legend = [Text.assemble((mark[0], mark[1]), f" {LEGEND[mark]}") for mark in LEGEND if mark in marked]
    if legend:
        console.print(Text("   ").join(legend), soft_wrap=True)
    if "horizon" in view:
        say(console, f"Known until {view['horizon']}.", "dim")
    console.print()
    table = Table("day", prose("what is on it"))
    for before, day in pairwise([{"unknown": ""}, *view["days"]]):
        if text := "; ".join(_said(day, before["unknown"])):
            mark = _mark(day)
            table.add_row(
                f"{date.fromisoformat(day['date']):%a %d}", Text(printable(text), style=mark[1] if mark else "")
            )
    if table.rows:
        console.print(table)


def _mark(day: View) -> tuple[str, str] | None:
    if day["starts"]:
        return STARTS
    if day["unknown"]:
        return UNKNOWN
    if day["leftOut"]:
        return LEFT_OUT
    return CLOSED if day["closed"] else None


def _said(day: View, unknown: str) -> Iterator[str]:
    """What is to be said of a day. A weekend alone is no news, nor is what was `unknown` the day before."""
    if day["starts"]:
        yield f"starts {_clocks(day['starts'])}"
    reasons = dict.fromkeys(each["reason"] for each in day["leftOut"] if each["reason"] not in DAY_NAMES)
    for reason in reasons:
        yield f"left out {_clocks([each for each in day['leftOut'] if each['reason'] == reason])}: {reason}"
    if day["closed"] not in ("", *DAY_NAMES, *reasons):
        yield day["closed"]
    if day["unknown"] not in ("", unknown) and f"unknown: {day['unknown']}" not in reasons:
        yield f"unknown: {day['unknown']}"


def _clocks(starts: Sequence[View]) -> str:
    clocks = [each["local"][11:19].removesuffix(":00") for each in starts]
    more = f" and {len(clocks) - SHOWN:,} more" if len(clocks) > SHOWN else ""
    return ", ".join(clocks[:SHOWN]) + more


def _month(text: str | None) -> tuple[int, int]:
    if text is None:
        today = date.today()
        return today.year, today.month
    found = MONTH.fullmatch(text)
    if found is None or int(found[1]) not in YEARS:
        raise Problem(f"--month {text}: this is no month.", "Write --month 2026-11.")
    return int(found[1]), int(found[2])


Found = tuple[str, Sequence[Calendar], Sequence[Any]]
"""A name, its calendars and its time triggers."""


def _found(connect: Callable[[], Wiring], what: str) -> list[Found]:
    if is_file(what):
        return _in_file(connect, what)
    if what in exchange_codes():
        return [(f"{what}, {exchange(what).name}", [Calendar(published=(exchange(what),))], ())]
    if re.fullmatch(r"[A-Z0-9]{2,4}(-[A-Z0-9]{1,3})?", what) and what in holiday_codes():
        return [(what, [Calendar(published=(public_holidays(what),))], ())]
    stage = connect()
    if calendar := stage.store.get_calendars([what]).get(what):
        if errors := list(calendar_row_errors(calendar)):
            raise InvalidCalendar(errors)
        return [(what, [read_calendar(calendar)], ())]
    row = stage.store.get_schedule(what)
    if row is None:
        message = f"There is no calendar, schedule, country or exchange '{printable(what)}'."
        raise Problem(message, "List the calendars with: usched calendar")
    if row.get("scheduleErrors"):
        message = f"The schedule '{what}' is not valid, so that nothing starts it."
        raise Problem(message, f"See what is wrong with: usched show {what}")
    return [_of_schedule(row, stage.calendars)]


def _in_file(connect: Callable[[], Wiring], file: str) -> list[Found]:
    checked = read_file(file)
    known = calendars_of({row["calendarName"]: row for row in checked.calendars})
    found: list[Found] = [(name, [calendar], ()) for name, calendar in known.items()]
    return found + [_of_schedule(row, calendars_for(connect, checked)) for row in checked.rows]


def _of_schedule(row: View, calendars: Calendars) -> Found:
    triggers = checked_triggers(row, calendars)
    return row["scheduleId"], [each.calendar for each in triggers if each.calendar is not None], triggers


def _made_of(row: View) -> str:
    errors = list(calendar_row_errors(row))
    return f"not valid: {errors[0]}" if errors else calendar_text(row)
