"""Keeps the entries of EventBridge Scheduler in step with the rows of schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from universal_scheduler.domain.documents.schema import schema_errors
from universal_scheduler.domain.errors import InvalidSchedule
from universal_scheduler.domain.events.arrivals import topics_of
from universal_scheduler.domain.time.calendars import Calendar
from universal_scheduler.domain.time.entries import (
    RATE_ANCHOR,
    Entry,
    at_expression,
    entries_of,
    same_entry,
    trigger_list,
)
from universal_scheduler.domain.time.triggers import TimeTrigger, read_triggers
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.time_entries import TimeEntries

Calendars = Callable[[Iterable[str]], Mapping[str, Calendar]]
"""Answers the calendars that have these names, by name."""
ROWS, PAGES = 500, 5
"""Rows, and pages of entries (100 each), that one sweep compares: a thousand requests, some twenty seconds on AWS."""
ENOUGH_SECONDS = 15.0
"""If less time is left, no further step begins."""
TIME_ATTRIBUTES = (
    *("scheduleId", "trigger", "timezone", "spread"),
    *("overlap", "maxConcurrentRuns", "catchUp", "pauseAfterFailures"),
)
"""What of a row its time triggers and the starts by them depend on."""
ANY_JOB = {"jobName": "any", "jobDefinition": "any", "jobQueue": "any"}
TIME_KEYS = frozenset({"cron", "rate", "at", "businessDay", "exchange"})
"""The keys of a trigger of which one makes it a time trigger."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """What the entries are made from."""

    entries: TimeEntries
    calendars: Calendars
    clock: Callable[[], float]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    def triggers_of(self, row: Mapping[str, Any] | None) -> Sequence[TimeTrigger]:
        """The time triggers of a row; none if the row has errors."""
        return time_triggers(row, self.calendars)


def time_triggers(row: Mapping[str, Any] | None, calendars: Calendars) -> tuple[TimeTrigger, ...]:
    """The time triggers of a row; none if the row has errors, because nothing starts then.

    It looks only at what the triggers need, so that a row without its jobs is enough.
    """
    if row is None or not has_time_triggers(row) or row.get("scheduleErrors"):
        return ()
    given = {key: row[key] for key in TIME_ATTRIBUTES if key in row}
    if schema_errors({**given, "jobList": [ANY_JOB]}):
        return ()
    try:
        return read_triggers(row["trigger"], row.get("timezone", ""), calendars(calendar_names(row)), RATE_ANCHOR)
    except InvalidSchedule:
        return ()


def has_time_triggers(row: Mapping[str, Any]) -> bool:
    return any(isinstance(each, Mapping) and not TIME_KEYS.isdisjoint(each) for each in trigger_list(row))


def calendar_names(row: Mapping[str, Any]) -> list[str]:
    """The calendars that the triggers of a row name, each once."""
    named = (each.get("calendar") for each in trigger_list(row) if isinstance(each, Mapping))
    return list(dict.fromkeys(name for name in named if isinstance(name, str)))


def keep_in_step(timetable: Timetable, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
    """A row was inserted (`old` is None), changed, or removed (`new` is None): put its entries, and remove those that
    it does not need any more.

    A row that is wrong has none. `new` is the row with its `scheduleErrors` as they are now.

    Raises:
        TimetableUnavailable: EventBridge Scheduler did not take them all. The same call puts what is missing.
    """
    now = timetable.now()
    before, after = _wanted(timetable, old, now), _wanted(timetable, new, now)
    for entry in after:
        if entry not in before:
            timetable.entries.put(entry)
    _remove(timetable.entries, {entry.name for entry in before} - {entry.name for entry in after})


def reconcile(
    timetable: Timetable,
    rows: Store,
    time_left: Callable[[], float],
    also: Callable[[Mapping[str, Any], Sequence[TimeTrigger], float], object] = lambda _row, _triggers, _now: None,
) -> int:
    """Compare the next rows with their entries and the next entries with their rows, and mend what differs.

    It goes on where it stopped before, so that every row and every entry has its turn, and none costs a full read.
    `time_left` answers how many seconds are left. `also` is called for each row with time triggers, with these and the
    time in epoch seconds. Returns: how many entries were put or removed.

    Raises:
        TimetableUnavailable: the next call goes on where this one stopped.
    """
    mended = 0

    def mend(found: Sequence[Mapping[str, Any]]) -> None:
        nonlocal mended
        for row in found:
            rows.add_listener(row["scheduleId"], topics_of(row))
            mended += mend_row(timetable, row)
            if triggers := time_triggers(row, timetable.calendars):
                also(row, triggers, timetable.clock())

    if time_left() >= ENOUGH_SECONDS:
        rows.next_time_rows(ROWS, mend)
    for _ in range(PAGES):
        if time_left() < ENOUGH_SECONDS:
            break
        names, following = timetable.entries.names(rows.entries_page())
        mended += mend_entries(timetable, names, rows.time_rows)
        rows.entries_page_done(following)
        if not following:
            break
    return mended


def mend_row(timetable: Timetable, row: Mapping[str, Any]) -> int:
    """Compare the entries of a row with those that there are, and put what is missing or different. Answers how many
    that were."""
    now = timetable.now()
    mended = 0
    for entry in _wanted(timetable, row, now):
        found = timetable.entries.get(entry.name)
        if found is None or not same_entry(entry, found, now):
            timetable.entries.put(entry)
            mended += 1
    return mended


def mend_entries(
    timetable: Timetable, names: Sequence[str], rows_of: Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]]
) -> int:
    """Compare entries with the rows that they are for, and remove those that no row needs. Answers how many that were.

    `rows_of` answers the rows of schedules as they are now, by scheduleId.
    """
    found = {name: entry for name in names if (entry := timetable.entries.get(name)) is not None}
    rows = rows_of(sorted({entry.schedule_id for entry in found.values() if entry.schedule_id}))
    now = timetable.now()
    wanted = {entry.name for row in rows.values() for entry in _wanted(timetable, row, now)}
    # A link that calls just now is no longer its row's next one.
    gone = {name for name, entry in found.items() if name not in wanted and not _calls_now(entry, rows, now)}
    _remove(timetable.entries, gone)
    return len(gone)


def _calls_now(entry: Entry, rows: Mapping[str, Any], now: datetime) -> bool:
    """Also the start of an object that is waited for: it goes by itself."""
    if entry.schedule_id not in rows:
        return False
    return bool(entry.cause) or (entry.once and entry.expression <= at_expression(now))


def _wanted(timetable: Timetable, row: Mapping[str, Any] | None, now: datetime) -> list[Entry]:
    triggers = time_triggers(row, timetable.calendars)
    return entries_of(row, triggers, now) if row is not None and triggers else []


def _remove(entries: TimeEntries, names: Iterable[str]) -> None:
    for name in sorted(names):
        entries.remove(name)
