"""`usched next`: shows when a schedule starts next, and why it does not start at other times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from universal_scheduler.cli.console import make_console, put_json, say
from universal_scheduler.cli.documents import SUFFIXES, Checked, check_file
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.tables import Table, prose
from universal_scheduler.domain.documents.calendars import calendars_of
from universal_scheduler.domain.documents.triggers import trigger_texts, what_starts
from universal_scheduler.domain.time.calendars import Calendar
from universal_scheduler.domain.time.local_days import utc_text
from universal_scheduler.domain.time.starts import Start
from universal_scheduler.usecases.timetable import Calendars, has_time_triggers
from universal_scheduler.usecases.upcoming import (
    DEFAULT_COUNT,
    MOST_STARTS,
    Bound,
    NoTime,
    Span,
    checked_triggers,
    is_cut,
    read_bound,
    starts_of_stored,
    tzdata_version,
    upcoming,
    upcoming_view,
)

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring


def next_command(
    connect: Callable[[], Wiring],
    what: str,
    count: int | None,
    first: str | None,
    last: str | None,
    as_json: bool,
) -> int:
    """Show the next starts of a stored schedule, or of each schedule in a file. For a file, `connect` is called only
    where a trigger names a calendar of the stage.

    Raises:
        Problem, ScheduleNotFound, InvalidSchedule: a time is none, the file or the row is not valid, or there is no
            such schedule.
    """
    now = datetime.now(UTC)
    span = Span(now if first is None else bound(first, "--from"), None if last is None else bound(last, "--to"))
    if count is None and last is None:
        count = DEFAULT_COUNT
    if is_file(what):
        checked = read_file(what)
        calendars = calendars_for(connect, checked)
        found = [(row, upcoming(checked_triggers(row, calendars), span, count)) for row in checked.rows]
    else:
        stage = connect()
        found = [starts_of_stored(stage.store, stage.calendars, what, span, count)]
    if any(is_cut(starts, count) for _, starts in found):
        click.echo(f"Only the first starts are shown, {MOST_STARTS:,} at most. Choose a shorter time.", err=True)
    if as_json:
        views = [{"scheduleId": row["scheduleId"], **upcoming_view(starts)} for row, starts in found]
        put_json(upcoming_view(found[0][1]) if len(found) == 1 else {"schedules": views})
        return 0
    console = make_console()
    for row, starts in found:
        show_starts(console, row, starts)
    say(console, f"Time zones: tzdata {tzdata_version()}", "dim")
    return 0


def calendars_for(connect: Callable[[], Wiring], checked: Checked) -> Calendars:
    """The calendars of a file, and of the stage, which is only asked where a trigger names another one."""
    inside = calendars_of({row["calendarName"]: row for row in checked.calendars})

    def named(names: Iterable[str]) -> Mapping[str, Calendar]:
        others = [name for name in names if name not in inside]
        return inside | (connect().calendars(others) if others else {})

    return named


def bound(text: str, option: str) -> Bound:
    """A day or a moment of an option.

    Raises:
        Problem: it is neither.
    """
    try:
        return read_bound(text)
    except NoTime as error:
        raise Problem(f"{option}: {error}.", f"Write {option} 2026-11-21, or {option} 2026-11-21T06:00:00Z.") from None


def show_starts(console: Console, row: Mapping[str, Any], starts: Sequence[Start]) -> None:
    """Print the starts of one schedule: local time, UTC, and why it starts or does not."""
    texts = trigger_texts(row)
    spread = f"; each within {row['spread']} after its time" if "spread" in row else ""
    title = f"{row['scheduleId']}: {what_starts(row, new=False)}{spread}"
    if not starts:
        say(console, title, "bold")
        if has_time_triggers(row):
            say(console, "Nothing starts in this time.")
        console.print()
        return
    table = Table("start", "UTC", prose("why"), title=title)
    for start in starts:
        style = "yellow" if start.left_out else ""
        why = f"left out: {start.left_out}" if start.left_out else f"{texts[start.trigger]}{_moved(start)}"
        local = f"{start.local:%a %Y-%m-%d %H:%M:%S %Z}"
        table.add_row(Text(local, style=style), utc_text(start.at), Text(why, style=style))
    console.print(table)


def _moved(start: Start) -> str:
    """From which day a calendar has moved the start."""
    day = start.scheduled.astimezone(start.local.tzinfo).date()
    return "" if start.scheduled == start.at else f"; moved from {day:%a} {day}"


def is_file(what: str) -> bool:
    return what == "-" or "/" in what or what.endswith(SUFFIXES) or Path(what).is_file()


def read_file(file: str) -> Checked:
    """What a file has.

    Raises:
        Problem: it is not valid.
    """
    checked = check_file(file)
    if checked.errors:
        lines = "".join(f"\n         {line}" for line in checked.lines)
        raise Problem(f"{file} is not valid.{lines}", "Correct the document.", errors=checked.errors_as_json)
    return checked
