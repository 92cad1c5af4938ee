"""Named calendars: stores them, and finds those that the triggers of a schedule name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from universal_scheduler.domain.documents.calendars import calendar_row_errors
from universal_scheduler.domain.documents.values import quoted
from universal_scheduler.domain.errors import DocumentError, InvalidCalendar, did_you_mean
from universal_scheduler.ports.calendars import Calendars

A_CALENDAR = "the name of a calendar of this stage: store one with usched apply, or write its days here"


def store_calendar(calendars: Calendars, row: Mapping[str, Any]) -> bool:
    """Check a calendar and store its row. True if it is new.

    Raises:
        InvalidCalendar: the row is wrong. Nothing was stored.
    """
    errors = list(calendar_row_errors(row))
    if errors:
        raise InvalidCalendar(errors)
    return calendars.put_calendar(row)


def calendar_name_errors(
    calendars: Calendars, row: Mapping[str, Any], beside: Sequence[Mapping[str, Any]] = (), *, hints: bool = False
) -> list[DocumentError]:
    """What is wrong with the names of calendars in the triggers of a schedule: there is no such calendar, or its row
    is wrong. `beside` are rows of calendars that are stored with the schedule. With `hints`, all calendars are read to
    say which one was meant."""
    uses = list(calendar_uses(row))
    found = calendars.get_calendars(name for _, name in uses)
    found |= {calendar["calendarName"]: dict(calendar) for calendar in beside}
    errors = []
    for path, name in uses:
        if name not in found:
            known = [*found, *(each["calendarName"] for each in (calendars.list_calendars() if hints else ()))]
            hint = did_you_mean(name, known)
            errors.append(DocumentError(path, f"{quoted(name)}{hint}, and there is no such calendar", A_CALENDAR))
        elif wrong := next(calendar_row_errors(found[name]), None):
            errors.append(DocumentError(path, f"{quoted(name)}, whose row is wrong: {wrong}", A_CALENDAR))
    return errors


def calendar_uses(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names of calendars in the triggers of a schedule, each with its JSON path."""
    trigger = row.get("trigger")
    several = isinstance(trigger, list | tuple)
    for position, each in enumerate(trigger if isinstance(trigger, list | tuple) else (trigger,)):
        if isinstance(each, Mapping) and isinstance(each.get("calendar"), str):
            yield f"$.trigger{f'[{position}]' if several else ''}.calendar", each["calendar"]
